"""`Design`: an experiment that asks for lanes; and the one loop through which everything trains."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from etastar.core.deadline import TimeOver
from etastar.core.lane import Lane, Outcome, Runs
from etastar.core.problem import Problem

Answer = TypeVar("Answer", covariant=True)


@dataclass(frozen=True)
class Plan:
    """What an experiment takes at most. Plans add up.

    >>> Plan(4, 400) + Plan(1, 1000)
    Plan(lanes=5, steps=1400)
    """

    lanes: int
    steps: int
    """Gradient steps, of all lanes together."""

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.lanes + other.lanes, self.steps + other.steps)


class Design(Protocol[Answer]):
    """An experiment. It never sees a model: it asks for lanes, is told their outcomes, and answers.

    A design is deterministic: told the same outcomes in the same order it asks the same lanes. That is what makes a
    killed run resumable and a stored lane reusable.
    """

    def planned(self) -> Plan:
        """What it will ask for at most, all told; known before anything is asked."""
        ...

    def ask(self) -> Sequence[Lane]:
        """The next batch of lanes; empty when the experiment is over."""
        ...

    def tell(self, outcomes: Runs) -> None:
        """The outcomes of the last batch, complete and in the order asked."""
        ...

    def stop(self, flag: str) -> None:
        """End the experiment early; the answer carries `flag` if it is worse for it."""
        ...

    def answer(self) -> Answer:
        """The answer the outcomes carry so far."""
        ...


@runtime_checkable
class Shortens(Protocol):
    """A design that can do with shorter lanes where time is short."""

    def shorten(self, longest: Callable[[int], int]) -> None:
        """The last lanes asked for do not end in time: `ask` gives shorter ones then, or none.

        Args:
            longest: (lanes) -> the most steps of so many lanes that end in time.
        """
        ...


class Time(Protocol):
    """What is left of it."""

    def over(self) -> bool:
        """Whether nothing more should be begun."""
        ...

    def fits(self, lanes: Sequence[Lane]) -> bool:
        """Whether these are likely to end in time."""
        ...

    def longest(self, lanes: int) -> int:
        """The most steps of so many lanes that are likely to end in time."""
        ...


class Endless:
    """A `Time` without a limit."""

    def over(self) -> bool:
        """Never."""
        return False

    def fits(self, lanes: Sequence[Lane]) -> bool:
        """Always."""
        return True

    def longest(self, lanes: int) -> int:
        """Of any length."""
        return sys.maxsize


class Engine(Protocol):
    """Trains lanes."""

    @property
    def name(self) -> str:
        """Name and device, stored with every run."""
        ...

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index into `lanes`, outcome) as lanes finish, in any order."""
        ...


class Store(Protocol):
    """Remembers lanes."""

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """Outcomes in the order of `lanes`; only lanes not yet stored are trained.

        Raises:
            TimeOver: it is over before all have ended; it holds the outcomes of those that have.
        """
        ...


ENDLESS = Endless()
TIME_LIMIT = "time-limit"
"""The flag of a design that was stopped, or shortened, because time was."""


def run(
    design: Design[Answer],
    problem: Problem,
    engine: Engine,
    store: Store,
    *,
    time: Time = ENDLESS,
    progress: Callable[[Runs], None] | None = None,
) -> Answer:
    """Run `design` to its end and return its answer: the loop everything that trains goes through.

    A lane in which the user's code raised is a failed lane, as one that diverged is.

    Args:
        time: what is left of it. A batch that does not fit is not begun; a shorter one is, where the design `Shortens`. When
            it is over, also in the middle of a batch, the design answers with the batches that it was told of.
        progress: called with each batch's outcomes, also where time ended it.

    Raises:
        UserCodeRaised: every lane of one length raised, or the lowest rate did: that is no matter of the rate.
    """
    told = Runs()
    while True:
        if not (lanes := _asked_in_time(design, time)):
            _check_raised(told)
            return design.answer()
        try:
            outcomes = store.get_or_train(engine, problem, lanes)
        except TimeOver as over:
            outcomes = over.outcomes
            design.stop(TIME_LIMIT)
        else:
            design.tell(outcomes)
        told = told + outcomes
        if progress:
            progress(outcomes)


def _asked_in_time(design: Design[Answer], time: Time) -> Sequence[Lane]:
    """The next lanes that are likely to end in time; none where the design is over, or stopped."""
    if time.over():
        design.stop(TIME_LIMIT)
    lanes = design.ask()
    if not lanes or time.fits(lanes):
        return lanes
    if isinstance(design, Shortens):
        design.shorten(time.longest)
        if not (lanes := design.ask()) or time.fits(lanes):
            return lanes
    design.stop(TIME_LIMIT)
    return ()


def _check_raised(told: Runs) -> None:
    """Raise the first exception kept where it is no matter of the rate: among the lanes of one length.

    Where settings vary, too, one of them may be why the lane of the lowest rate raised.
    """
    for steps in dict.fromkeys(o.lane.steps for o in told.raised):
        alike = Runs(o for o in told if o.lane.steps == steps)
        lowest = min(o.lane.lr for o in alike)
        one_setting = len({repr(o.lane.settings) for o in alike}) == 1
        at_lowest = Runs(o for o in alike if o.lane.lr == lowest or not one_setting)
        if len(at_lowest.raised) == len(at_lowest):
            at_lowest[0].require()
