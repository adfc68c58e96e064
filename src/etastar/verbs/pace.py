"""How long lanes take where they train, and which of them end in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etastar.core.deadline import Deadline
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.scoring_cost import scoring_steps

MARGIN = 0.85
"""Share of the time left that shortened lanes may take: a step of a busy minute takes a tenth more than of a quiet one."""


START = 3.0
"""Seconds that a batch may take beyond its steps: the first one in a worker checks the engine and scores untrained networks
(.5 - 2.5 s of small networks), which longer lanes do not do again."""


@dataclass
class Pace:
    """Lanes train in so many places at the same time, rows of a chunk or processes, one after the other in each.

    What the last batch took is known; what a larger one takes beyond that is steps.

    Args:
        problem: whose lanes.
        step: seconds of a step of all places; what batches really take corrects it.
        places: where lanes train at the same time.
    """

    problem: Problem
    step: float
    places: int
    _known: tuple[float, float] = (0.0, 0.0)
    """Steps of the place that had most, in the last batch, and seconds of that batch."""

    def takes(self, lanes: Sequence[Lane]) -> float:
        """Seconds until all of these have ended and are scored."""
        steps, (known, took) = self._steps_of([self._scored(lane.steps, lane) for lane in lanes]), self._known
        return took * steps / known if steps < known else took + (steps - known) * self.step

    def learn(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """A batch took this."""
        steps, (known, took) = self._steps_of([self._scored(o.spent, o.lane) for o in outcomes]), self._known
        if steps <= 0:
            return
        self.step = max(self.step, (seconds - START) / steps)
        if known and steps >= 1.5 * known and seconds > took:
            self.step = (seconds - took) / (steps - known)
        self._known = steps, seconds

    def longest(self, lanes: int, seconds: float) -> int:
        """The most steps of so many lanes that end, scored, in so many seconds."""
        known, took = self._known
        steps = known * seconds / took if seconds < took else known + (seconds - took) / self.step
        each = steps / -(-lanes // self.places)
        return max(int(each - self._scored(0, Lane(1.0, 0, max(int(each), 1)))), 0)

    def _scored(self, steps: float, lane: Lane) -> float:
        return steps + scoring_steps(self.problem, lane)

    def _steps_of(self, steps: Sequence[float]) -> float:
        """Of the place that has most of them."""
        if not steps:
            return 0.0
        rounds = -(-len(steps) // self.places)
        return max(max(steps), rounds * sum(steps) / len(steps))


@dataclass(frozen=True)
class TimeLeft:
    """What is left of a deadline: a `Time`.

    Args:
        deadline: this one.
        pace: of the lanes.
        missing: those that are not stored; the others take no time.
    """

    deadline: Deadline
    pace: Pace
    missing: Callable[[Sequence[Lane]], Sequence[Lane]]

    def over(self) -> bool:
        """See `Time`."""
        return self.deadline.over

    def fits(self, lanes: Sequence[Lane]) -> bool:
        """See `Time`."""
        return self.deadline.seconds is None or self.pace.takes(self.missing(lanes)) <= self.deadline.left

    def longest(self, lanes: int) -> int:
        """See `Time`."""
        return self.pace.longest(lanes, MARGIN * self.deadline.left)
