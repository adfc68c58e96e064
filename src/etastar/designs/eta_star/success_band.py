"""`SuccessBand`: the rates at which a network starts to train, and what is known of their upper edge."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from etastar.core.estimate import Estimate
from etastar.core.lane import Criterion, LaneStatus, Outcome, Runs, Until


@dataclass(frozen=True)
class RateCount:
    """At one rate: lanes run, lanes that trained, and how the others ended."""

    lr: float
    runs: int
    trained: int
    diverged: int
    slow: int
    dead: int
    raised: int = 0

    @property
    def lost(self) -> int:
        """Lanes that blew up, died or raised: more steps would not have helped them."""
        return self.diverged + self.dead + self.raised


@dataclass(frozen=True)
class CurvePoint:
    """Fitted success probability at one rate, with its interval."""

    lr: float
    p: float
    low: float
    high: float


@dataclass(frozen=True)
class SuccessBand:
    """The answer: eta* and what is known of the band below it.

    Args:
        eta_star: rate at which half of fresh seeds start to train (upper flank).
        eta_star_90: rate at which nine of ten do.
        width: 10-90 % width of the flank, in decades.
        lower_edge: lowest rate of the band in the scan: half or more of the lanes trained there; None if the scan went no
            lower.
        rates: what happened at each rate.
        curve: the fitted flank.
        criterion, steps, until: what counted as success.
        scan_runs, refine_runs: lanes asked for.
        runs: their outcomes, the scan first.
    """

    eta_star: Estimate
    eta_star_90: Estimate
    width: Estimate
    lower_edge: float | None
    rates: tuple[RateCount, ...]
    curve: tuple[CurvePoint, ...]
    criterion: Criterion
    steps: int
    until: Until
    scan_runs: int
    refine_runs: int
    runs: Runs = field(default_factory=Runs, repr=False, compare=False)

    def probability(self, lr: float) -> float | None:
        """Fitted success probability at `lr`; None outside the fitted curve."""
        if not self.curve or not self.curve[0].lr <= lr <= self.curve[-1].lr:
            return None
        return float(np.interp(math.log10(lr), [math.log10(c.lr) for c in self.curve], [c.p for c in self.curve]))


def count_by_rate(outcomes: Sequence[Outcome]) -> list[RateCount]:
    """What happened at each rate, lowest first."""
    by_lr: dict[float, Counter[LaneStatus]] = {}
    for outcome in outcomes:
        by_lr.setdefault(outcome.lane.lr, Counter())[outcome.status] += 1
    return [
        RateCount(lr, c.total(), **{status.value: c[status] for status in LaneStatus}) for lr, c in sorted(by_lr.items())
    ]


def main_band(rates: list[RateCount]) -> list[RateCount]:
    """The run of neighbouring rates with majority success that holds most successes; the higher one on a tie."""
    best: list[RateCount] = []
    current: list[RateCount] = []
    for rate in rates:
        current = [*current, rate] if 2 * rate.trained >= rate.runs else []
        if current and sum(r.trained for r in current) >= sum(r.trained for r in best):
            best = current
    return best
