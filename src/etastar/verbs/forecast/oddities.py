"""What in a loss curve is no part of it: spikes, which are masked, and changes of level, which are told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.curve import Curve
from etastar.verbs.forecast.readers.log import Frame

SPIKE, AROUND = 8.0, 4
"""A loss this many robust standard deviations above the medians of so many before it and after it is a spike, and no part of
the curve: a change of level is above one of them only."""
CHANGE, LEAST_CHANGE, SIDE = 8.0, 0.01, 8
"""A step between the medians of so many losses on its sides, beyond their own slopes: in robust standard deviations of such
steps, and relative to the loss (a power law after the warm-up bends by up to half of that)."""
LISTED = 5


def without_spikes(found: Frame) -> tuple[Frame, list[str]]:
    """Rows (step, loss) without losses far above their neighbours, and a sentence that lists them."""
    logs = np.log(found["loss"])
    before = logs.shift(1).rolling(AROUND, min_periods=1).median()
    after = logs[::-1].shift(1).rolling(AROUND, min_periods=1).median()[::-1]
    off = logs - np.fmax(before.fillna(logs), after)  # the first loss is none
    scale = 1.4826 * float(np.median(np.abs(off - np.median(off))))
    spikes = off > SPIKE * max(scale, 1e-4)
    if not spikes.any():
        return found, []
    at = found["step"][spikes].tolist()
    shown = ", ".join(map(str, at[:LISTED])) + (" ..." if len(at) > LISTED else "")
    return found[~spikes], [f"{len(at)} spike{'s' if len(at) > 1 else ''} masked, at step {shown}"]


def changes(curve: Curve) -> Sequence[str]:
    """Steps at which the loss changes its level while the rate does not: another data set, batch size or weight decay."""
    logs = np.log(curve.losses)
    if len(logs) < 4 * SIDE:
        return ()
    x = np.log(np.maximum(curve.steps, 1))  # against which a power law is nearly straight
    middle = lambda y, width: np.median(np.lib.stride_tricks.sliding_window_view(y, width), axis=1)
    levels, at, slopes = middle(logs, SIDE), middle(x, SIDE), middle(np.diff(logs) / np.diff(x), SIDE - 1)
    expected = (slopes[:-SIDE] + slopes[SIDE:]) / 2 * (at[SIDE:] - at[:-SIDE])
    off = np.abs(levels[SIDE:] - levels[:-SIDE] - expected)
    scale = 1.4826 * float(np.median(off))
    steady = np.array([_steady(curve, curve.steps[i], curve.steps[i + 2 * SIDE - 1]) for i in range(len(off))])
    after_warmup = curve.steps[: len(off)] >= curve.first
    where = np.flatnonzero((off > max(CHANGE * scale, LEAST_CHANGE)) & steady & after_warmup)
    if not len(where):
        return ()
    peak = int(np.median(where[off[where] >= 0.9 * off[where].max()])) + SIDE
    return (
        f"the loss changes its level at about step {curve.steps[peak]} while the rate does not: if data, batch size or "
        f"weight decay changed there, forecast from it (from_step={curve.steps[peak]})",
    )


def _steady(curve: Curve, first: int, last: int) -> bool:
    rates = curve.rates[max(first - 1, 0) : last]
    return bool(rates.max() - rates.min() <= 0.02 * curve.peak)
