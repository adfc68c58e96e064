"""JSON: one object a line, or one list of objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from etastar.errors import ProblemError
from etastar.verbs.forecast.readers.log import Log, Reader, text_of


def _recognises(path: Path, head: str) -> bool:
    return head.lstrip().startswith(("{", "["))


def read(path: Path) -> Log:
    """The objects as rows; what is nested is named outer/inner.

    Raises:
        ProblemError: a line that is no object.
    """
    import pandas as pd

    text = text_of(path)
    lines = [text] if text.lstrip().startswith("[") else text.splitlines()
    rows: list[Any] = []
    before = 0
    try:
        for before, line in enumerate(lines):  # noqa: B007 - named where one is no JSON
            rows += [json.loads(line)] if line.strip() else []
    except json.JSONDecodeError as error:
        where = f"{error.msg} (line {before + error.lineno})"
        raise ProblemError(f"the log {str(path)!r} is no JSON lines: {where}; expected an object a line") from None
    rows = rows[0] if text.lstrip().startswith("[") else rows
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ProblemError(f"the log {str(path)!r} holds no objects; expected one a line, e.g. {{'step': 1, 'loss': 2.3}}")
    return Log(pd.json_normalize(rows, sep="/"), "JSON lines")


READER = Reader("JSON lines", _recognises, read)
