"""CSV and its kind: Lightning's metrics.csv, exports of W&B and MLflow, anything with a header and numbers below."""

from __future__ import annotations

import csv
import io
import re
import warnings
from pathlib import Path
from typing import Any

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Frame, Log, Reader, text_of

SEPARATORS = ",;\t"


def _recognises(path: Path, head: str) -> bool:
    line = _from_header(head).split("\n", 1)[0]
    return not head.lstrip().startswith(("{", "[")) and any(s in line for s in SEPARATORS) and ":" not in line.split(",")[0]


def _from_header(text: str) -> str:
    """The text without empty lines and comments before its header, which may be a comment itself.

    >>> _from_header("# run 3\\n\\nstep,loss\\n1,2\\n"), _from_header("# step,loss\\n1,2\\n")
    ('step,loss\\n1,2\\n', 'step,loss\\n1,2\\n')
    """
    while text and (text[0].isspace() or text[0] == "#"):
        line, _, rest = text.partition("\n")
        names = line.lstrip("# \t").strip()
        if names and any(s in names and names.count(s) == rest.partition("\n")[0].count(s) for s in SEPARATORS):
            return f"{names}\n{rest}"
        text = rest
    return text


def _separator(text: str) -> str:
    return max(SEPARATORS, key=text.split("\n", 1)[0].count)


def read(path: Path) -> Log:
    """The rows; columns of numbers with a percent sign are refused where they are used.

    MLflow's long form (key, value, step) becomes one column for each key; columns that W&B adds to samples (__MIN, __MAX)
    are dropped, and the log is flagged as one.

    Raises:
        ProblemError: no table.
    """
    import pandas as pd

    text = _from_header(text_of(path))
    separator = _separator(text)
    decimal = "," if separator != "," and re.search(r"\d,\d", text) and not re.search(r"\d\.\d", text) else "."
    how: dict[str, Any] = {"sep": separator, "decimal": decimal, "skipinitialspace": True, "low_memory": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(io.StringIO(text), index_col=False, **how)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, csv.Error) as error:
        long = isinstance(error, pd.errors.ParserWarning)
        why = "rows have more fields than the header; write decimals with a point" if long else str(error).strip()
        raise ProblemError(f"the log {str(path)!r} is no table: {why}") from None
    frame.columns = [str(c).strip() for c in frame.columns]
    if not any(map(pd.api.types.is_numeric_dtype, frame.dtypes)):  # a header that is repeated makes text of every column
        frame = frame[(frame.astype(str).apply(lambda column: column.str.strip()) != frame.columns).any(axis=1)]
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
