"""Standard output belongs to the answer's JSON where that was asked for: what else is printed goes to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from etastar.errors import ProblemError

ON_STDOUT = "-"
"""The file of --json that means standard output."""
_answers: list[TextIO] = []


@contextmanager
def kept_for_answers() -> Iterator[None]:
    """Within, what a user's model or data print, in worker processes too, does not get between the lines of the JSON.

    Raises:
        ProblemError: standard output is closed.
    """
    before: TextIO | None = sys.stdout
    if before is None or before.closed:
        raise ProblemError("--json - cannot be written (standard output is closed); pass a file, e.g. --json answer.json")
    before.flush()
    own = _aside(before) if before is sys.__stdout__ else None
    _answers.append(own or before)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _answers.pop()
        if own is not None:
            os.dup2(own.fileno(), before.fileno())
            own.close()


def answers() -> TextIO:
    """Where answers are printed."""
    return _answers[-1] if _answers else sys.stdout


def drop_answers() -> None:
    """What is still to be written there goes nowhere, instead of failing once more when the interpreter ends."""
    for stream in {id(s): s for s in (answers(), sys.__stdout__)}.values():
        if stream is not None and (stream is sys.__stdout__ or _answers) and not stream.closed:
            try:
                descriptor = stream.fileno()
            except (OSError, ValueError):  # no file, but what a test or a notebook put there
                continue
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _aside(stream: TextIO) -> TextIO:
    """The same file under another number; the number it had stands for standard error from now on."""
    own = os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="backslashreplace")
    os.dup2(sys.__stderr__.fileno() if sys.__stderr__ else 2, stream.fileno())
    return own
