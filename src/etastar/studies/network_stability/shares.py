"""Shares with their intervals, verdicts of many claims at once, and the smallest share that could have been seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from etastar.core.estimate import Estimate, Status
from etastar.studies.claim import Claim, Conclusion, Verdict
from etastar.studies.fits import LEVEL, mean_and_interval, too_few

POWER = 0.8
"""Probability with which the smallest detectable share would have been told from none."""
HALVINGS = 40
"""Of the interval in which the level is sought at which a verdict is lost: 1e-12 of it are left."""
Quantity = Callable[[float], Estimate]
"""level -> the estimate with its interval."""


def fieller(part: Sequence[float], whole: Sequence[float], level: float = LEVEL, unit: str = "share") -> Estimate:
    """mean(part) / mean(whole) of pairs, with Fieller's interval: all r for which part - r x whole may be 0 on average.

        (a - r b)^2 = t^2 (v_aa - 2 r v_ab + r^2 v_bb)        v: covariances of the means, t: Student's, n - 1

    Where `whole` itself cannot be told from 0 the interval is unbounded, and there is no value.

    Args:
        part, whole: one a seed, in the same order.
        level: of the interval.

    >>> e = fieller([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])  # a constant whole: Student's interval, divided by it
    >>> round(e.require(), 3), round(e.low, 3), round(e.high, 3)
    (0.5, 0.079, 0.921)
    """
    a, b = (np.asarray(values, dtype=float) for values in (part, whole))
    n = len(a)
    if n < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return too_few(unit)
    (v_aa, v_ab), (_, v_bb) = (np.cov(a, b) / n).tolist()
    mean_a, mean_b = float(a.mean()), float(b.mean())
    t2 = float(stdtrit(n - 1, (1 + level) / 2)) ** 2
    square = mean_b**2 - t2 * v_bb
    if square <= 0:
        return Estimate.none(
            Status.FLAT, f"what it is a share of, {mean_b:.3g}, cannot be told from 0 at {100 * level:g} %", unit=unit
        )
    middle, rest = mean_a * mean_b - t2 * v_ab, mean_a**2 - t2 * v_aa
    root = math.sqrt(max(middle**2 - square * rest, 0.0))
    low, high = (float((middle + sign * root) / square) for sign in (-1, 1))
    value = mean_a / mean_b
    return Estimate(value, min(low, value), max(high, value), level, unit, n, "Fieller's interval over seeds")


def mean_of(values: Sequence[float], unit: str) -> Quantity:
    """The mean, with Student's interval over seeds."""
    known = [v for v in values if math.isfinite(v)]
    return lambda level: mean_and_interval(known, unit, level) if len(known) == len(values) else too_few(unit)


def share_of(part: Sequence[float], whole: Sequence[float], unit: str = "share") -> Quantity:
    """See `fieller`."""
    return lambda level: fieller(part, whole, level, unit)


def lost_at(claim: Claim, quantity: Quantity) -> float:
    """1 - the highest level at which the claim's rule still decides: its p-value; 1 where it never does.

    >>> from etastar.studies.claim import Inside
    >>> claim = Claim("", "", "", "", "", Inside(low=0.0))
    >>> round(lost_at(claim, mean_of([1.0, 2.0, 3.0], "")), 4)  # t = 2 / (1 / sqrt 3) = 3.46 with 2 degrees of freedom
    0.0742
    """
    decides = lambda level: claim.rule(quantity(level)) is not Verdict.CANNOT_TELL
    if not decides(0.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if decides(middle) else (low, middle)
    return 1 - low


def holm(p: Sequence[float], alpha: float) -> list[float]:
    """The level of each claim's interval, so that with probability 1 - alpha no verdict of all of them is wrong.

    The i-th smallest of m gets 1 - alpha / (m - i + 1), as long as its p is not above alpha / (m - i + 1); from the first
    whose p is, all get that one's.

    >>> [round(level, 3) for level in holm([0.04, 0.001, 0.5], 0.1)]
    [0.95, 0.967, 0.9]
    >>> [round(level, 3) for level in holm([0.06, 0.001, 0.09], 0.1)]
    [0.95, 0.967, 0.95]
    """
    m, levels, failed = len(p), [0.0] * len(p), None
    for rank, index in enumerate(sorted(range(m), key=lambda i: p[i])):
        own = alpha / (m - rank) if failed is None else failed
        if failed is None and p[index] > own:
            failed = own
        levels[index] = 1 - own
    return levels


@dataclass(frozen=True)
class Asked:
    """A claim and its quantity.

    Args:
        primary: it is judged at 90 % by itself; the others together, by Holm.
    """

    claim: Claim
    quantity: Quantity
    primary: bool = False


def judged(asked: Sequence[Asked]) -> tuple[Conclusion, ...]:
    """The verdicts: of primary claims each at 90 %, of the others so that all of them are right with 90 %."""
    measured = [one for one in asked if not one.primary and one.quantity(LEVEL).status is not Status.NOT_MEASURED]
    levels = holm([lost_at(one.claim, one.quantity) for one in measured], 1 - LEVEL)
    level_of = {one.claim.name: level for one, level in zip(measured, levels, strict=True)}
    return tuple(one.claim.judge(one.quantity(level_of.get(one.claim.name, LEVEL))) for one in asked)


def detectable(quantity: Quantity) -> float | None:
    """The smallest change of the number that would have been told from none with probability 0.8; None without an interval.

        (t_.95 + t_.8) x standard error, Student's with n - 1 degrees of freedom

    >>> round(detectable(mean_of([1.0, 2.0, 3.0], "")), 2)  # (2.92 + 1.06) x 1 / sqrt 3
    2.3
    """
    e = quantity(LEVEL)
    if e.low is None or e.high is None or e.n < 2:
        return None
    t, power = (float(stdtrit(e.n - 1, q)) for q in ((1 + LEVEL) / 2, POWER))
    return (e.high - e.low) / 2 / t * (t + power)
