"""CSV and its kind: Lightning's metrics.csv, exports of W&B and MLflow, anything with a header and numbers below."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Frame, Log, Reader, text_of

SEPARATORS = ",;\t"


def _recognises(path: Path, head: str) -> bool:
    line = head.split("\n", 1)[0]
    return not head.lstrip().startswith(("{", "[")) and any(s in line for s in SEPARATORS) and ":" not in line.split(",")[0]


def read(path: Path) -> Log:
    """The rows; columns of numbers with a percent sign are refused where they are used.

    MLflow's long form (key, value, step) becomes one column for each key; columns that W&B adds to samples (__MIN, __MAX)
    are dropped, and the log is flagged as one.

    Raises:
        ProblemError: no table.
    """
    import pandas as pd

    text = text_of(path)
    separator = max(SEPARATORS, key=text.split("\n", 1)[0].count)
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator, skipinitialspace=True, low_memory=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise ProblemError(f"the log {str(path)!r} is no table: {str(error).strip()}") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if {"key", "value", "step"} <= set(frame.columns):
        return Log(_wide(frame), "MLflow's export")
    sampled = [c for c in frame.columns if c.endswith(("__MIN", "__MAX"))]
    if sampled:
        note = "W&B exports a sample of long histories; scan_history() of its API gives all of it"
        return Log(frame.drop(columns=sampled), "W&B's export", (note,))
    return Log(frame, "CSV")


def _wide(frame: Frame) -> Frame:
    """One column for each key, one row for each step; the value written last counts."""
    table = frame.pivot_table(index="step", columns="key", values="value", aggfunc="last").reset_index()
    table.columns = [str(c) for c in table.columns]
    return table


READER = Reader("CSV", _recognises, read)
