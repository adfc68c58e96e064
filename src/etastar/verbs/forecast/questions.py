"""Rates nobody ran: a cooldown started now, twice the steps, other shapes for the rest. What was trained already stays."""

from __future__ import annotations

import numpy as np

from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.schaipp2025convex import longer_cooldown
from etastar.policies.schedule import CURVES

COOLDOWN = 0.1
"""Share of the steps trained so far, over which a cooldown started now would go."""
STEADY = 0.02
"""Relative change of the rate over the last tenth of a log, up to which the run is taken to go on at that rate."""
SHAPES = {
    "linear from now on": (1.0, "linear"),
    "cosine from now on": (1.0, "cosine"),
    "constant, then linear over the last half": (0.5, "linear"),
    "constant, then linear over the last fifth": (0.2, "linear"),
    "constant, then 1 - sqrt over the last fifth": (0.2, "sqrt"),
    "constant": (0.0, "linear"),
}
"""name -> (share of the rest that decays to 0, curve)."""


def rest(curve: Curve, updates: int, decay: float, shape: str = "linear") -> Array:
    """Rates so far, and `updates` more from the last one: held, then decaying to 0 over the last share `decay`.

    >>> rest(Curve([1, 2], [2.0, 1.0], [0.1, 0.1]), 4, 0.5).tolist()
    [0.1, 0.1, 0.1, 0.1, 0.1, 0.05]
    """
    over = round(decay * updates)
    left = np.minimum((updates - np.arange(updates)) / max(over, 1), 1.0) if over else np.ones(updates)
    now = int(curve.steps[-1])
    last = curve.rates[now - 1]
    return np.concatenate([curve.rates[:now], last * np.array([CURVES[shape](float(x)) for x in left])])


def cooldown_now(curve: Curve, share: float = COOLDOWN) -> Array:
    """Rates so far, then linear to 0 over `share` of as many updates."""
    return rest(curve, max(round(share * int(curve.steps[-1])), 1), 1.0)


def twice(curve: Curve, factor: float = 2.0) -> Array:
    """The run over `factor` x its steps: at its peak, with the cooldown for which that peak stays right.

    A cooldown that was trained already is undone: the run is taken up where that began. A run that left its peak in its
    first half has no such place: it goes on linearly to 0 from the rate in use.
    """
    now, steps = int(curve.steps[-1]), round(factor * int(curve.steps[-1]))
    below = np.flatnonzero(curve.rates[curve.warmup : now] < (1 - STEADY) * curve.peak)
    left = curve.warmup + int(below[0]) if len(below) else now
    if left < now / 2:
        return rest(curve, steps - now, 1.0)
    over = min(round(longer_cooldown(factor) * steps), steps - curve.warmup)
    rates = np.concatenate([curve.rates[:left], np.full(steps - left, curve.peak)])
    return rates * np.minimum((steps - np.arange(steps)) / over, 1.0)


def is_steady(curve: Curve) -> bool:
    """Whether the rate stood still over the last tenth of the log, so that the run may be taken to go on so."""
    now = int(curve.steps[-1])
    late = curve.rates[now - max(now // 10, 1) : now]
    return bool(late.max() - late.min() <= STEADY * curve.peak)
