"""`Log`: rows of a training as its trainer wrote them."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar.errors import ProblemError

Frame = Any
"""A pandas DataFrame or one of its columns; pandas is imported where a log is read, and its own annotations tell them not
apart."""


def frame_of(data: Any, **settings: Any) -> Frame:
    """`pandas.DataFrame(data, ...)`."""
    import pandas

    return pandas.DataFrame(data, **settings)


@dataclass(frozen=True, eq=False)
class Log:
    """Rows in the order in which they were written; what a row does not hold is NaN.

    Args:
        frame: one column for each quantity.
        format: what it was read as.
        notes: sentences about it.
        means: training losses are means since the row before, not of one batch.
    """

    frame: Frame
    format: str
    notes: tuple[str, ...] = ()
    means: bool = False


@dataclass(frozen=True)
class Reader:
    """Args:
    format: its name.
    recognises: (path, beginning of its text; "" where it is no text) -> whether it is this format.
    read: path -> log.
    """

    format: str
    recognises: Callable[[Path, str], bool]
    read: Callable[[Path], Log]


def text_of(path: Path, most: int | None = None) -> str:
    """The text of a file, unpacked where its name ends in .gz; its first `most` characters.

    Raises:
        ProblemError: it cannot be read, or is no text.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            encoding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with opened(path, "rt", encoding=encoding) as file:
            return file.read(most)
    except UnicodeError:
        raise ProblemError(
            f"the log {str(path)!r} is no text in UTF-8 or UTF-16; expected CSV, JSON lines or a trainer's own file"
        ) from None
    except (OSError, EOFError) as error:
        raise ProblemError(f"the log {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
