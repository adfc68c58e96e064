"""Signals that ask a process to end do what Ctrl-C does: what is trained is saved, workers end, the exit code says which."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Sent by `kill`, by a scheduler whose time is up, and by a terminal that is closed."""


@dataclass
class Ended:
    """Which signal has ended the command; None: none."""

    by: signal.Signals | None = None


@contextmanager
def ending_as_interrupted() -> Iterator[Ended]:
    """Within, the first of those signals raises KeyboardInterrupt; a second one ends the process at once.

    A signal that is ignored (`nohup`) stays ignored; what was set before is set again afterwards.
    """
    ended = Ended()

    def end(number: int, _: FrameType | None) -> None:
        ended.by = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING if signal.getsignal(number) is signal.SIG_DFL}
    try:
        for number in before:
            signal.signal(number, end)
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
