"""A store that is away for a while is waited for: another process holds its lock, or its server is being restarted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from etastar.errors import StoreError

Result = TypeVar("Result")


class StoreAway(StoreError):
    """The store is locked, or its server cannot be reached: it may be there again soon. `reason` is what it said."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def say_on_stderr(sentence: str) -> None:
    """One line beside the progress."""
    print(f"etastar: {sentence}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Patience:
    """Does what needs the store again and again while it is away, with pauses of 1, 2, 4 ... seconds.

    Args:
        at_most: seconds from the first failure after which it is given up.
        first, longest: seconds of the first pause, and of the longest.
        say: told once, in a sentence, before the first pause.
        sleep, clock: seconds; a test has its own. By the clock lanes are saved once a second, too.

    >>> waited, answers = [], [StoreAway("locked", "locked"), StoreAway("locked", "locked"), "saved"]
    >>> def save():
    ...     answer = answers.pop(0)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> Patience(say=print, sleep=waited.append).wait_for(save, "the store"), waited
    the store is away (locked); trying again for up to 5 min, nothing is lost meanwhile
    ('saved', [1.0, 2.0])
    """

    at_most: float = 300.0
    first: float = 1.0
    longest: float = 30.0
    say: Callable[[str], None] = say_on_stderr
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def wait_for(self, work: Callable[[], Result], name: str) -> Result:
        """What `work` returns, once `name` is there; `work` may be done again although it was done.

        Raises:
            StoreAway: `at_most` seconds have passed.
        """
        failed: float | None = None
        pause = self.first
        while True:
            try:
                return work()
            except StoreAway as error:
                now = self.clock()
                if failed is None:
                    failed = now
                    if self.at_most > 0:
                        minutes = f"{self.at_most / 60:.3g} min"
                        self.say(
                            f"{name} is away ({error.reason}); trying again for up to {minutes}, nothing is lost meanwhile"
                        )
                if now - failed >= self.at_most:
                    raise
            self.sleep(pause)
            pause = min(2 * pause, self.longest)
