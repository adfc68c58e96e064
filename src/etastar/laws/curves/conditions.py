"""Where a law of loss curves holds: each condition says why it does not, in one sentence, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Array, Curve

FEWEST = 8
"""Losses after the warm-up, below which four fitted numbers leave nothing to judge the fit by."""
REACH = 3.2
"""A law speaks up to this multiple of the intrinsic time fitted; it was held to 3.1 (24,000 to 72,000 steps, 25M and
100M)."""
SAME_PEAK = 1.02
OTHER_PEAK = 2.0
"""Another peak may be asked about up to this factor; it was measured there (124M, 1e-3 to 5e-4 and 2e-3)."""
RISE = 0.01
"""A rise after the warm-up by this share of the peak is one."""
MOST_PASSES = 2.0
"""Passes over the data, beyond which annealing makes networks memorise: cooldowns then end .05 - .15 below every law's
forecast."""
LEARNED = 0.3
"""Share of the uninformed loss: a training loss above it is not yet memorised, however many passes there were."""
INTERPOLATES = 0.05
"""Share of the first loss, below which a training loss says nothing of where it will end: L0 is not identified (1.2 to 20 x
off)."""
TURNS_UP, TURN_IN_NOISE = 0.02, 3.5
"""A validation loss that ends this much (relative, and in standard deviations of its noise) above its lowest, while the rate
does not rise, overfits. Of 50 losses that are noise alone, the last is so high above the lowest in 2 of 1,000 runs."""
SLACK = 0.1
"""A rate this much (relative) below the lowest measured is still no cooldown."""
ROUNDING = 1e-3
SMOOTHED = 3
"""Losses whose median is compared, so that one noisy loss is no turn."""


def unfit(curves: Sequence[Curve]) -> str | None:
    """Why no law should be fitted to these curves."""
    if not curves:
        return "there is no curve to fit; give the log of at least one run"
    total = sum(len(c.steps) for c in curves)
    if total < FEWEST:
        return f"{total} losses after the warm-up are too few for a law of at least four numbers; give {FEWEST} or more"
    return next(filter(None, (memorises(c, c.passes) or turns_up(c) for c in curves)), None)


def few_for_one(curves: Sequence[Curve]) -> str | None:
    """Why one run alone has too few losses for its law to be judged."""
    if len(curves) != 1 or len(curves[0].steps) >= 2 * FEWEST:
        return None
    return (
        f"{len(curves[0].steps)} losses of one run are too few: how far its law is off is read from its second half; give "
        f"{2 * FEWEST} after the warm-up, or a second run"
    )


def memorises(curve: Curve, passes: float | None) -> str | None:
    """Why a run that has seen its data so often lies outside of what these laws describe."""
    start = curve.losses[0] if curve.uninformed is None else curve.uninformed
    last = float(np.median(curve.losses[-SMOOTHED:]))
    if curve.kind == "training" and last < INTERPOLATES * start:
        return (
            f"the run {curve.name!r} interpolates its training data (loss {last:.3g}, {last / start:.1%} of {start:.3g}): "
            "where such a loss ends is not identified; forecast its validation loss instead"
        )
    if passes is None or passes <= MOST_PASSES:
        return None
    if curve.kind == "training" and curve.uninformed is not None and last > LEARNED * curve.uninformed:
        return None
    return (
        f"{passes:.3g} passes over the data of {curve.name!r}: from the second or third on, annealing makes networks "
        "memorise, and every law is too pessimistic about cooldowns; take one branch with a cooldown, and compare with that"
    )


def turns_up(curve: Curve) -> str | None:
    """Why a validation loss that rises again cannot be forecast."""
    if curve.kind != "validation" or len(curve.losses) < 4 * SMOOTHED:
        return None
    middles = np.median(np.lib.stride_tricks.sliding_window_view(curve.losses, SMOOTHED), axis=1)
    lowest = int(np.argmin(middles))
    rates = curve.rates[curve.steps[lowest] - 1 : curve.steps[-1]]
    turn = max(TURNS_UP, TURN_IN_NOISE * curve.noise)
    if middles[-1] < (1 + turn) * middles[lowest] or rates.max() > rates[0] * (1 + RISE):
        return None
    return (
        f"the validation loss of {curve.name!r} rises from {middles[lowest]:.4g} at step {curve.steps[lowest]} to "
        f"{middles[-1]:.4g}: it overfits, which no law here describes; forecast up to that step (`until`), or regularise"
    )


def outside(curves: Sequence[Curve], reference: float, clock: Clock, rises: bool, peaks: bool) -> str | None:
    """Why a law of these curves says nothing about any loss of this schedule.

    Args:
        curves: fitted.
        reference: their peak rate.
        clock: of the schedule asked about.
        rises, peaks: whether the law may be asked about rates that rise after the warm-up, and about another peak.
    """
    asked = clock.e[: int(clock.steps.max(initial=1))]
    return (
        _another_peak(float(asked.max()), reference, peaks)
        or (None if rises else _rise(asked[clock.warmup :]))
        or next(filter(None, (memorises(c, _passes(c, clock)) for c in curves)), None)
    )


def _passes(curve: Curve, clock: Clock) -> float | None:
    return None if curve.passes is None else curve.passes * max(int(clock.steps.max()) / int(curve.steps[-1]), 1.0)


def _another_peak(ratio: float, reference: float, peaks: bool) -> str | None:
    if 1 / SAME_PEAK <= ratio <= SAME_PEAK:
        return None
    sentence = f"the schedule's peak is {ratio * reference:.3g} and that of the curves {reference:.3g}"
    if not peaks:
        return f"{sentence}: this law errs by .15 - .25 nats across peaks; ask at the measured peak, or measure that one"
    if not 1 / OTHER_PEAK / SAME_PEAK <= ratio <= OTHER_PEAK * SAME_PEAK:
        return f"{sentence}, more than a factor of {OTHER_PEAK:g} apart; measure a run closer to it"
    return None


def _rise(asked: Array) -> str | None:
    if len(asked) < 2 or float((asked - np.minimum.accumulate(asked)).max()) <= RISE:
        return None
    return "the rate rises after the warm-up, about which this law errs by .1 - .3; ask the law of fading noise"


def each_point(curves: Sequence[Curve], first_s: float, last_s: float, clock: Clock) -> list[str | None]:
    """For each step asked about, why the law is silent there.

    Args:
        curves: fitted.
        first_s, last_s: earliest and latest intrinsic time fitted.
        clock: of the schedule asked about.
    """
    lowest = 0.0 if any(c.annealed for c in curves) else min(c.lowest for c in curves)
    after = np.where(np.arange(len(clock.e)) < clock.warmup, np.inf, clock.e)
    low = np.concatenate([[np.inf], np.minimum.accumulate(after)])[clock.steps]
    found: list[str | None] = []
    for step, s, down in zip(clock.steps, clock.s, low, strict=True):
        if step < clock.warmup:
            found.append(f"step {step} lies inside the warm-up of {clock.warmup} updates, which no law here describes")
        elif s < first_s * (1 - ROUNDING):
            found.append(f"step {step} is earlier than the first loss fitted; first steps follow no power law")
        elif s > last_s * REACH:
            found.append(
                f"step {step} is {s / last_s:.2g} x beyond the last loss fitted (in the sum of rates) and laws were held to "
                f"{REACH:g} x; give a longer run, or ask about an earlier step"
            )
        elif down < lowest * (1 - SLACK):
            found.append(
                f"no curve was annealed (lowest rate measured: {lowest:.0%} of the peak; asked: {down:.0%}): what a "
                "cooldown gains is not in them; measure one branch, a cooldown over a tenth of the steps from a checkpoint"
            )
        else:
            found.append(None)
    return found
