"""`TunedPeak`: a policy's best rate over all of its steps, on a grid of several seeds: costly, the reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until
from etastar.core.randomness import derive_seed
from etastar.laws.psi.ideal import WORST, vertex
from etastar.policies.policy import Policy

HALF = 3
"""Rates on either side of the start, a factor of two apart: seven, five octaves of certainty around a guess."""
WIDENED = 4
"""How often the grid grows at an end: as many octaves beyond it."""


@dataclass
class TunedPeak:
    """The rate with the lowest mean ln(loss) of a policy's lanes, between grid points by a parabola; a `Design`.

    Args:
        criterion: of the lanes.
        policy: over its steps.
        steps: of a lane.
        start: in the middle of the first grid.
        seeds: a rate.
        seed: from which the lanes' are derived.

    >>> from etastar.policies.policy import Constant
    >>> TunedPeak(Criterion(), Constant(), 100, 0.1).planned()
    Plan(lanes=44, steps=4400)
    """

    criterion: Criterion
    policy: Policy
    steps: int
    start: float
    seeds: int = 4
    seed: int = 0
    _told: dict[float, list[Outcome]] = field(init=False, default_factory=dict)
    _widened: int = field(init=False, default=0)
    _over: bool = field(init=False, default=False)

    def planned(self) -> Plan:
        """The grid, grown as far as it may."""
        lanes = (2 * HALF + 1 + WIDENED) * self.seeds
        return Plan(lanes, lanes * self.steps)

    def ask(self) -> Sequence[Lane]:
        """The first grid; then one rate beyond its end while that end is the best."""
        if self._over:
            return []
        if not self._told:
            return self._lanes(*(self.start * 2.0**k for k in range(-HALF, HALF + 1)))
        best, rates = self._best(), sorted(self._told)
        if self._widened < WIDENED and best in (rates[0], rates[-1]):
            self._widened += 1
            return self._lanes(best / 2 if best == rates[0] else best * 2)
        return []

    def tell(self, outcomes: Runs) -> None:
        """Keep them."""
        for outcome in outcomes:
            self._told.setdefault(outcome.lane.lr, []).append(outcome)

    def stop(self, flag: str) -> None:
        """Ask for nothing more."""
        self._over = True

    def answer(self) -> Estimate:
        """The vertex; no value where every lane broke, or the best lies at the end."""
        rates = sorted(self._told)
        losses = {lr: self._loss(lr) for lr in rates}
        n = sum(map(len, self._told.values()))
        if not any(map(math.isfinite, losses.values())):
            return Estimate.none(Status.DIVERGED_EVERYWHERE, "no rate of the grid trained", n=n)
        i = rates.index(self._best())
        if i in (0, len(rates) - 1):
            return Estimate.none(Status.EDGE_OF_RANGE, f"the best rate, {rates[i]:.3g}, is the last of the grid", n=n)
        low, high = rates[i - 1], rates[i + 1]
        near = [min(losses[lr], losses[rates[i]] + WORST) for lr in rates[i - 1 : i + 2]]
        return Estimate(math.exp(vertex(rates[i - 1 : i + 2], near)), low, high, n=n, method="grid of full-length lanes")

    def _lanes(self, *rates: float) -> list[Lane]:
        seeds = [derive_seed(self.seed, "tuned peak", k) for k in range(self.seeds)]
        return [Lane(lr, seed, self.steps, self.criterion, Until.END, self.policy) for lr in rates for seed in seeds]

    def _loss(self, lr: float) -> float:
        losses = [outcome.scored_loss for outcome in self._told[lr]]
        return statistics.fmean(math.log(loss) if loss else math.inf for loss in losses)

    def _best(self) -> float:
        return min(self._told, key=lambda lr: (self._loss(lr), lr))
