"""`Deadline`: when a verb must have answered. What trains or measures asks `check_time`, wherever it is in the code.

It is held, not passed on: between the verb and a batch of the validation data lie a dozen calls that it is no business of.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from etastar.core.lane import Runs
from etastar.errors import EtastarError

ANSWER = 0.03
"""Share of the limit that is left for the answer: ending worker processes and fitting took .01 - .2 s of 8 - 60 s."""


class TimeOver(EtastarError):
    """The time limit is over in the middle of something.

    Attributes:
        outcomes: of the lanes of the batch that had ended by then.
    """

    def __init__(self, *words: object, outcomes: Runs | None = None) -> None:
        super().__init__(*(words or ("the time limit is over",)))
        self.outcomes = outcomes or Runs()


@dataclass(frozen=True)
class Deadline:
    """So many seconds from its making.

    Args:
        seconds: None: no limit.
        clock: in seconds; workers of this machine read the same one.
        began: what it said at the beginning; None: what it says now.

    >>> now = [5.0]
    >>> deadline = Deadline(100, lambda: now[0])
    >>> now[0] = 55.0
    >>> deadline.spent, round(deadline.left, 1), round(deadline.part(0.6).left, 1), deadline.part(0.5).over
    (50.0, 47.0, 8.2, True)
    """

    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    began: float | None = None

    def __post_init__(self) -> None:
        if self.began is None:
            object.__setattr__(self, "began", self.clock())

    @property
    def spent(self) -> float:
        """Seconds since it was made."""
        return self.clock() - (self.began or 0.0)

    @property
    def left(self) -> float:
        """Seconds of work that are left, those for the answer apart; infinite without a limit."""
        return math.inf if self.seconds is None else (1 - ANSWER) * self.seconds - self.spent

    @property
    def over(self) -> bool:
        """Whether nothing more should be begun."""
        return self.left <= 0

    def part(self, share: float) -> Deadline:
        """One that ends after a share of the time, counted from the same beginning."""
        return self if self.seconds is None else replace(self, seconds=share * self.seconds)

    def within(self, seconds: float) -> Deadline:
        """One that ends so many seconds from now, or with this one if that is sooner."""
        least = min(seconds, self.left)
        return Deadline(None if math.isinf(least) else least / (1 - ANSWER), self.clock)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What runs within ends with `TimeOver` when it is over."""
        token = _held.set(self)
        try:
            yield
        finally:
            _held.reset(token)


_held: ContextVar[Deadline] = ContextVar("deadline", default=Deadline())  # noqa: B039 (it is frozen)


def deadline() -> Deadline:
    """The one that is held."""
    return _held.get()


def check_time(grace: float = 0.0) -> None:
    """End what is under way if time is over; between two steps, or two batches.

    Args:
        grace: share of the limit by which it may be over.

    Raises:
        TimeOver: it is.
    """
    held = _held.get()
    if held.seconds is not None and held.left <= -grace * held.seconds:
        raise TimeOver
