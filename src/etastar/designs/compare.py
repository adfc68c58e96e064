"""`Compare`: several policies, each at its own best rate, on the same seeds, for the same number of trainings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until
from etastar.core.randomness import derive_seed
from etastar.errors import ProblemError
from etastar.policies.policy import Policy

HALF = 3
"""Rates on either side of the start, a factor of two apart, on which every policy's peak is looked for first."""
FEWEST = 12
"""Trainings of a policy at least: seven rates, four seeds at the best of them, and one rate more."""
TWO_SEEDS = 24
"""From so many trainings on every rate is tried on two seeds: with fewer, more rates say more."""
FINAL = 1 / 3
"""Share of the trainings that are spent on fresh seeds at the peak: what the policies are compared by."""
FINE = 2**0.5
"""Factor from the best rate to those beside it that are tried last."""


@dataclass(frozen=True)
class PolicyRuns:
    """What one policy did.

    Args:
        name, policy: of it.
        peak: its best rate, or the one that was known; None where no lane trained.
        tried: rate -> outcomes of the search; empty where the rate was known.
        final: outcomes at the peak, on fresh seeds, the same for all policies.
        at_the_end: whether the peak is the lowest or the highest rate that was tried.
        optimizer: what it was trained by, where that is not the problem's own.
    """

    name: str
    policy: Policy
    peak: float | None
    tried: Mapping[float, tuple[Outcome, ...]]
    final: tuple[Outcome, ...]
    at_the_end: bool
    optimizer: object = None

    @property
    def trainings(self) -> int:
        """All that it took."""
        return sum(map(len, self.tried.values())) + len(self.final)


@dataclass
class Compare:
    """Every policy's peak on a grid, then fresh seeds there. A `Design`.

    Rates are start x 2^-3 .. 2^3; one more beyond an end while that is the best, and those at 2^(1/2) beside the best.

    Args:
        criterion: of the lanes.
        steps: of a lane.
        policies: name -> policy over so many steps.
        start: in the middle of the grid.
        budget: trainings of a policy, at most, all told.
        seed: from which the lanes' are derived.
        known: `start` is the peak of every policy: nothing is searched.

    Raises:
        ProblemError: a budget that does not buy every policy its grid and its seeds.

    >>> from etastar.policies.policy import Constant
    >>> design = Compare(Criterion(), 100, {"constant": Constant()}, 0.1, 30)
    >>> design.planned(), design.seeds, design.fresh
    (Plan(lanes=30, steps=3000), 2, 10)
    """

    criterion: Criterion
    steps: int
    policies: Mapping[str, Policy]
    start: float
    budget: int
    seed: int = 0
    known: bool = False
    stopped: str | None = field(init=False, default=None)
    _tried: dict[str, dict[float, list[Outcome]]] = field(init=False)
    _final: dict[str, list[Outcome]] = field(init=False, default_factory=dict)
    _asked: list[tuple[str, float, bool]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if self.budget < FEWEST:
            raise ProblemError(
                f"the budget is {self.budget} trainings of every policy; expected {FEWEST} or more: seven rates, "
                "and four seeds at the best of them"
            )
        self._tried = {name: {} for name in self.policies}
        self._refined: set[str] = set()

    @property
    def seeds(self) -> int:
        """Trainings of a rate in the search."""
        return 2 if self.budget >= TWO_SEEDS else 1

    @property
    def fresh(self) -> int:
        """Trainings of a policy at its peak."""
        return max(round(FINAL * self.budget), 3)

    def planned(self) -> Plan:
        """All of every policy's budget; the fresh seeds alone where the rate is known."""
        lanes = (self.fresh if self.known else self.budget) * len(self.policies)
        return Plan(lanes, lanes * self.steps)

    def ask(self) -> Sequence[Lane]:
        """Of all policies together: the grid, further rates, the fresh seeds."""
        if self.stopped:
            return []
        rates = [(name, lr) for name in self.policies for lr in self._wanted(name)]
        if rates:
            self._asked = [(name, lr, False) for name, lr in rates for _ in range(self.seeds)]
            return [self._lane(name, lr, "search", k) for name, lr in rates for k in range(self.seeds)]
        left = [(name, lr) for name in self.policies if name not in self._final and (lr := self._peak(name)) is not None]
        self._asked = [(name, lr, True) for name, lr in left for _ in range(self.fresh)]
        return [self._lane(name, lr, "fresh", k) for name, lr in left for k in range(self.fresh)]

    def tell(self, outcomes: Runs) -> None:
        """Keep them."""
        for (name, lr, final), outcome in zip(self._asked, outcomes, strict=True):
            (self._final.setdefault(name, []) if final else self._tried[name].setdefault(lr, [])).append(outcome)

    def stop(self, flag: str) -> None:
        """Ask for nothing more."""
        self.stopped = flag

    def answer(self) -> tuple[PolicyRuns, ...]:
        """In the order of the policies."""
        return tuple(self._runs(name) for name in self.policies)

    def _runs(self, name: str) -> PolicyRuns:
        tried, peak = self._tried[name], self._peak(name)
        return PolicyRuns(
            name=name,
            policy=self.policies[name],
            peak=peak,
            tried={lr: tuple(tried[lr]) for lr in sorted(tried)},
            final=tuple(self._final.get(name, ())),
            at_the_end=bool(tried) and peak in (min(tried), max(tried)),
        )

    def _wanted(self, name: str) -> list[float]:
        """Rates that are tried next; none once the best has neighbours, or what is left is for the fresh seeds."""
        tried = self._tried[name]
        if self.known:
            return []
        if not tried:
            return [self.start * 2.0**k for k in range(-HALF, HALF + 1)]
        peak = self._peak(name)
        room = (self.budget - self.fresh) // self.seeds - len(tried)
        if peak is None or room < 1 or name in self._refined:
            return []
        if peak in (low := min(tried), max(tried)):
            return [peak / 2 if peak == low else peak * 2]
        self._refined.add(name)
        return [peak / FINE, peak * FINE][:room]

    def _peak(self, name: str) -> float | None:
        """The rate with the lowest mean loss of its seeds, all of which trained; the lower one of two alike."""
        if self.known:
            return self.start
        losses = {lr: mean_loss(outcomes) for lr, outcomes in self._tried[name].items()}
        best = min(losses, key=lambda lr: (losses[lr], lr), default=None)
        return None if best is None or not math.isfinite(losses[best]) else best

    def _lane(self, name: str, lr: float, purpose: str, k: int) -> Lane:
        seed = derive_seed(self.seed, "compare", purpose, k)
        return Lane(lr, seed, self.steps, self.criterion, Until.END, self.policies[name])


def mean_loss(outcomes: Sequence[Outcome]) -> float:
    """Mean scored loss; infinite where a lane broke."""
    losses = [outcome.scored_loss for outcome in outcomes]
    return statistics.fmean(math.inf if loss is None else loss for loss in losses)
