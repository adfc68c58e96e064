"""`Training`: lanes under way, as a value: step them, fork them, keep them, look at them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from etastar.core.lane import Lane, Outcome
from etastar.core.setup import Setup
from etastar.core.snapshot import Snapshot


class Training(Protocol):
    """Lanes that train together, all at the same step; a context: random state and losses are the caller's again after it.

        with engine.start(problem, [trunk]) as training:
            training.advance(300)
            training.take([0, 0], arms)          # two arms from here
            outcomes = training.advance(100)

    Rows are numbers of `lanes`; those that are decided are no longer trained, and keep their number.
    """

    @property
    def lanes(self) -> Sequence[Lane]:
        """As they were started, or taken last."""
        ...

    @property
    def step(self) -> int:
        """Optimizer steps taken, the same for all."""
        ...

    @property
    def undecided(self) -> Sequence[int]:
        """Rows that train on."""
        ...

    def advance(self, steps: int) -> list[tuple[int, Outcome]]:
        """So many optimizer steps of all rows, at most; returns (row, outcome) of those that were decided."""
        ...

    def outcome_as(self, row: int, lane: Lane) -> Outcome:
        """The outcome of a row that was decided, under the name of another lane that begins alike."""
        ...

    def take(self, rows: Sequence[int], lanes: Sequence[Lane] | None = None) -> None:
        """Only these rows, in this order, from here on under the names of `lanes`; a row named twice is forked.

        Raises:
            ProblemError: a row is decided (diverged, say), or a lane's past is not its row's: its policy must be that of
                the row, or have it as its `trunk` until this step or a later one.
        """
        ...

    def snapshot(self, row: int) -> Snapshot:
        """A row as it is now; engines `start` from it.

        Raises:
            ProblemError: the user's code remembers more than a snapshot holds.
        """
        ...

    def setup(self, row: int) -> Setup:
        """A row as an ordinary model and optimizer: to look at, not to train."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Shelf(Protocol):
    """Where engines keep lanes under way, and find those that were kept."""

    @property
    def every(self) -> float:
        """Seconds of training between two looks at what is worth keeping."""
        ...

    def find(self, lane: Lane, until: int | None = None) -> Snapshot | None:
        """The latest snapshot, of step `until` at most, that `lane` can go on from."""
        ...

    def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep lanes as they are now."""
        ...


@runtime_checkable
class Keeps(Protocol):
    """An engine that keeps its lanes: on `shelf`, or nowhere where that is None."""

    shelf: Shelf | None
