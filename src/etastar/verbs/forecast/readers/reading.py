"""Which reader a log is for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from etastar.arguments import path as checked_path
from etastar.errors import ProblemError
from etastar.verbs.forecast.readers import (
    delimited,
    json_lines,
    parquet,
    stored_run,
    tensorboard,
    text,
    trainer_state,
)
from etastar.verbs.forecast.readers.log import Frame, Log, Reader, text_of

READERS: tuple[Reader, ...] = (
    stored_run.READER,
    tensorboard.READER,
    parquet.READER,
    trainer_state.READER,
    json_lines.READER,
    text.READER,
    delimited.READER,
)
"""Asked in this order; the first that recognises a file reads it."""
NO_TEXT = 3
"""Readers at the front that know a file by its name."""
HEAD = 4000


def read_log(source: Any) -> Log:
    """The rows of a file, or of a table in memory (a pandas DataFrame, or column name -> values).

    Raises:
        ProblemError: no file, or none of the formats.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _in_memory(source)
    path = Path(checked_path("the log", source, "runs/metrics.csv"))
    for reader in READERS[:NO_TEXT]:
        if reader.recognises(path, ""):
            return reader.read(path)
    head = text_of(path, HEAD)
    if not head.strip():
        raise ProblemError(f"the log {str(path)!r} is empty; give one with a step and a loss in each row")
    for reader in READERS[NO_TEXT:]:
        if reader.recognises(path, head):
            return reader.read(path)
    formats = ", ".join(reader.format for reader in READERS)
    raise ProblemError(
        f"the log {str(path)!r} is of no format known here ({formats}); expected a header and rows of numbers"
    )


def _in_memory(source: Any) -> Log:
    import pandas as pd

    try:
        frame: Frame = source if isinstance(source, pd.DataFrame) else pd.DataFrame(source)
        frame = frame.rename(columns=str)
    except (ValueError, TypeError):
        raise ProblemError(
            f"the log is a {type(source).__name__}; expected a path, a DataFrame or columns of numbers"
        ) from None
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ProblemError(f"the log has several columns {twice!r}; give each a name of its own")
    return Log(frame, "a table")
