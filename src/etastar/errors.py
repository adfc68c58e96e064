"""What etastar raises. A user's mistake is always an `EtastarError` with one sentence: got, expected, do this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etastar.core.estimate import Estimate


class EtastarError(Exception):
    """Base of everything etastar raises on purpose."""


class ProblemError(EtastarError):
    """The problem, an option or a file cannot be used as given."""


class StoreError(EtastarError):
    """The store cannot be opened, read or written; it was left as it was."""


class MissingExtra(EtastarError):
    """An optional dependency is needed; the message names the extra to install."""


class NoAnswer(EtastarError):
    """An `Estimate` without a value was required; `estimate` carries the status and the reason."""

    def __init__(self, estimate: Estimate) -> None:
        super().__init__(f"no answer ({estimate.status.value}): {estimate.reason}")
        self.estimate = estimate


_NOT_THE_USERS = ("site-packages", "dist-packages", str(Path(__file__).parents[0]), "<frozen")


def in_one_line(error: BaseException) -> str:
    """An exception of the user's code as `Type: first line of the message (file, line)`, the last place that is theirs."""
    lines = str(error).strip().splitlines()
    text = type(error).__name__ + (f": {lines[0].rstrip('.')}" if lines else "")
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not any(part in file for part in _NOT_THE_USERS):
            place = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return text + place
