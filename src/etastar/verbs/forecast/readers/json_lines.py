"""JSON: one object a line, or one list of objects."""

from __future__ import annotations

import json
from pathlib import Path

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
    try:
        whole = text.lstrip().startswith("[")
        rows = json.loads(text) if whole else [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        where = "" if error.lineno == 1 else f" (line {error.lineno})"
        raise ProblemError(
            f"the log {str(path)!r} is no JSON lines: {error.msg}{where}; expected an object a line"
        ) from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise ProblemError(f"the log {str(path)!r} holds no objects; expected one a line, e.g. {{'step': 1, 'loss': 2.3}}")
    return Log(pd.json_normalize(rows, sep="/"), "JSON lines")


READER = Reader("JSON lines", _recognises, read)
