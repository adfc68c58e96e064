"""A fixed table of lanes: the simplest experiment, for grids and repeats."""

from __future__ import annotations

from collections.abc import Sequence

from etastar.core.design import Plan
from etastar.core.lane import Lane, Runs


class FixedLanes:
    """Trains the lanes it was given, a batch at a time, and answers with what they did.

    Args:
        lanes: in any order.
        batch: lanes asked for at once; a time limit is looked at between batches.
    """

    def __init__(self, lanes: Sequence[Lane], batch: int = 256) -> None:
        self._plan = Plan(len(lanes), sum(lane.steps for lane in lanes))
        self._left, self._batch = list(lanes), batch
        self._runs = Runs()

    def planned(self) -> Plan:
        """All of the lanes."""
        return self._plan

    def ask(self) -> Sequence[Lane]:
        """The next lanes."""
        return self._left[: self._batch]

    def tell(self, outcomes: Runs) -> None:
        """Keep their outcomes."""
        self._left = self._left[len(outcomes) :]
        self._runs = self._runs + outcomes

    def stop(self, flag: str) -> None:
        """Ask for nothing more."""
        self._left = []

    def answer(self) -> Runs:
        """The outcomes so far, in the order of the lanes."""
        return self._runs
