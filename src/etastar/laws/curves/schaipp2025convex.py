"""The last-iterate bound of convex optimisation as a law of loss curves, and what it says of peaks: transfer and
extension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from etastar.errors import ProblemError
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Array, Curve, checked_rates
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent

FADING_GRADIENT = 0.25
"""G_t ~ t^-g: with a constant gradient norm the law errs twice as much (.0398 instead of .0194, 25M)."""
ENDS_ABOVE_ZERO = 0.7
"""Share of the bound's peak that was best for schedules that do not end near 0 (124M over 50,000 steps: .55 instead of .83
- .88 for cosine to a tenth, .16 instead of .31 - .37 for a constant rate; half-way between bound and measurement)."""
NEAR_ZERO = 0.05
STEPS = 2000
"""Updates over which shapes are compared: their ratios hardly depend on it."""


class ConvexBound(CurveLaw):
    """L(t) = L0 + D^2 T1(t) + G^2 (T2(t) + T3(t)), linear in L0, D^2 and G^2

        T1 = 1 / (2 sum_{k <= t} e_k)          T2 = sum_{k <= t} e_k^2 g_k^2 / (2 sum_{k <= t} e_k),   g_k = k^-1/4
        T3 = 1/2 sum_{k < t} e_k / (sum_{k < j <= t} e_j)  x  (sum_{k <= j <= t} e_j^2 g_j^2) / (sum_{k <= j <= t} e_j)

    A poor predictor of losses (it is a bound) and a good one of peaks: see `peak_ratio`.

    Source: F. Schaipp et al., ICML 2025, arXiv 2501.18965; the bound is Theorem 10 of Defazio et al., arXiv 2310.07831.

    >>> rates = np.linspace(1.0, 0.01, 100)
    >>> law = ConvexBound.fit([Curve(np.arange(10, 101, 5), np.linspace(3.0, 2.0, 19), rates)])
    >>> law.predict(rates, [100]).end.ok
    True
    """

    name = "convex bound"

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """None is fitted."""
        return [], {"g": FADING_GRADIENT}

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 3]: 1, T1, T2 + T3."""
        distance, noise = _terms(clock, exponents["g"])
        return np.stack([np.ones(len(distance)), distance, noise], axis=1)


@lru_cache(maxsize=64)
def _terms(clock: Clock, g: float) -> tuple[Array, Array]:
    moves = clock.e > 0
    e = clock.e[moves]
    squares = e**2 * np.arange(1, len(moves) + 1, dtype=np.float64)[moves] ** (-2 * g)
    taken = np.concatenate([[0], np.cumsum(moves)])[clock.steps]
    return tuple(np.array(column) for column in zip(*(bound(e[:n], squares[:n]) for n in taken), strict=True))  # type: ignore


def bound(e: Array, squares: Array) -> tuple[float, float]:
    """(T1, T2 + T3) of `ConvexBound` after these rates, all > 0; squares are e_k^2 g_k^2.

    >>> bound(np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    (0.25, 1.0)
    """
    left = np.cumsum(e[::-1])[::-1]  # from the end: late rates are small, and differences of sums would lose them
    left_squares = np.cumsum(squares[::-1])[::-1]
    last = 0.5 * float(np.sum(e[:-1] / left[1:] * left_squares[:-1] / left[:-1]))
    return 0.5 / float(left[0]), 0.5 * float(left_squares[0] / left[0]) + last


def best_peak(shape: ArrayLike) -> tuple[float, float]:
    """The peak that minimises the bound for a shape, and the bound there, in units of D/G and D G (constant gradient norm).

        gamma* = sqrt(T1 / (T2 + T3)),   bound = 2 sqrt(T1 (T2 + T3));   (1 - s)^p: sqrt(p / T) and (p + 1) / sqrt(p T)

    Args:
        shape: [T] rates; updates at rate 0 move nothing and are left out.

    >>> peak, least = best_peak(1 - np.arange(10000) / 10000)
    >>> round(peak * 100, 2), round(least * 100, 2)
    (1.0, 2.0)
    """
    rates = checked_rates(shape)
    e = rates[rates > 0] / rates.max()
    distance, noise = bound(e, e**2)
    return math.sqrt(distance / noise), 2 * math.sqrt(distance * noise)


def peak_ratio(shape: ArrayLike, other: ArrayLike | None = None) -> float:
    """Best peak of a shape over that of another (default: linear to 0 over as many updates).

    With `ENDS_ABOVE_ZERO` for shapes that end above `NEAR_ZERO` of their peak.

    >>> wsd = np.minimum(1.0, (2000 - np.arange(2000)) / 400)
    >>> round(peak_ratio(wsd), 2), round(peak_ratio(np.ones(2000)), 2)
    (0.51, 0.23)
    """
    rates = checked_rates(shape)
    than = 1 - np.arange(len(rates)) / len(rates) if other is None else checked_rates(other)
    return _measured_peak(rates) / _measured_peak(than)


def _measured_peak(rates: Array) -> float:
    return best_peak(rates)[0] * (ENDS_ABOVE_ZERO if rates[-1] > NEAR_ZERO * rates.max() else 1.0)


def longer_cooldown(factor: float, cooldown: float = 0.2) -> float:
    """Share of the steps to cool down over when a run is extended and the rate already used is kept.

    The cooldown c for which the peak that was best for `cooldown` over T is best over factor x T: gamma*(c, factor T) =
    gamma*(cooldown, T). At most 1: from a factor of about 4 on, all that is left.

    Args:
        factor: steps now planned over those the peak was chosen for, >= 1.
        cooldown: share it was chosen with, linear to 0.

    Raises:
        ProblemError: a factor below 1, or a share outside (0, 1].

    >>> [round(longer_cooldown(f), 2) for f in (1, 1.5, 2, 4)]
    [0.2, 0.45, 0.63, 1.0]
    """
    _check(factor, cooldown)
    wanted = best_peak(_cooled(cooldown))[0] * math.sqrt(factor)
    over = lambda share: best_peak(_cooled(share))[0] - wanted
    if factor == 1:
        return cooldown
    return 1.0 if over(1.0) <= 0 else float(brentq(over, cooldown, 1.0, xtol=1e-3))  # type: ignore


def lower_rate(factor: float, cooldown: float = 0.2) -> float:
    """What to multiply the rate by, from the old cooldown's start on, when a run is extended with a cooldown of that share.

    The multiple for which the peak already used is best for the whole new schedule, as in `longer_cooldown`.

    >>> [round(lower_rate(f), 2) for f in (1, 1.5, 2, 4)]
    [1.0, 0.64, 0.53, 0.38]
    """
    _check(factor, cooldown)
    wanted, steps = best_peak(_cooled(cooldown))[0], round(factor * STEPS)
    shape, trained = _cooled(cooldown, steps), np.arange(steps) < (1 - cooldown) * STEPS
    over = lambda multiple: best_peak(np.where(trained, 1.0, multiple * shape))[0] - wanted
    return 1.0 if over(1.0) >= -1e-9 else float(brentq(over, 0.2, 1.0, xtol=1e-3))  # type: ignore


def _check(factor: float, cooldown: float) -> None:
    if not factor >= 1:
        raise ProblemError(f"the run is extended by a factor of {factor:g}; expected at least 1")
    if not 0 < cooldown <= 1:
        raise ProblemError(f"the cooldown takes {cooldown:g} of the steps; expected a share in (0, 1]")


def _cooled(share: float, steps: int = STEPS) -> Array:
    """Rate 1, then linear to 0 over the last share of the steps."""
    return np.minimum(1.0, (steps - np.arange(steps)) / max(share * steps, 1.0))
