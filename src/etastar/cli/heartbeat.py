"""A line a minute where there is no terminal to draw a bar on: a log shows that it goes on, and how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST, EVERY = 20.0, 60.0
"""Seconds until the first line, and between two: reading the data and importing torch may take longer than the first."""

Wait = Callable[[float], bool]
"""Wait so many seconds; whether it is all over."""


class Heartbeat:
    """Says how far it is, until it is left.

    Args:
        say: prints a line.
        clock: in seconds.

    >>> now = [0.0]
    >>> beat = Heartbeat(print, clock=lambda: now[0])
    >>> beat.planned(12)
    >>> beat.done("lr 0.1, loss 1.23")
    >>> now[0] = 120.0
    >>> beat.beat()
    2.0 min: 1 of at most 12 lanes done (the last: lr 0.1, loss 1.23)
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock, self._began = say, clock, clock()
        self._lanes: int | None = None
        self._done, self._last = 0, ""
        self._over = threading.Event()

    def planned(self, lanes: int) -> None:
        """So many lanes more, at most."""
        self._lanes = (self._lanes or 0) + lanes

    def done(self, last: str) -> None:
        """One lane is done."""
        self._done, self._last = self._done + 1, last

    def beat(self) -> None:
        """One line."""
        minutes = (self._clock() - self._began) / 60
        if self._lanes is None:
            self._say(f"{minutes:,.1f} min: reading and checking the problem, and which engine trains it")
            return
        last = f" (the last: {self._last})" if self._last else ""
        self._say(f"{minutes:,.1f} min: {self._done} of at most {self._lanes} lanes done{last}")

    def run(self, wait: Wait) -> None:
        """Beat until it is all over."""
        over = wait(FIRST)
        while not over:
            self.beat()
            over = wait(EVERY)

    def start(self) -> None:
        """Beat in a thread of its own, which nobody has to wait for."""
        threading.Thread(target=self.run, args=(self._over.wait,), daemon=True).start()

    def stop(self) -> None:
        """It is over."""
        self._over.set()
