"""Parquet, where pandas can read it."""

from __future__ import annotations

from pathlib import Path

from etastar.errors import MissingExtra, ProblemError
from etastar.verbs.forecast.readers.log import Log, Reader


def _recognises(path: Path, head: str) -> bool:
    return path.suffix in (".parquet", ".pq")


def read(path: Path) -> Log:
    """The table.

    Raises:
        MissingExtra: pyarrow is not installed.
        ProblemError: it is no Parquet.
    """
    import pandas as pd

    try:
        return Log(pd.read_parquet(path), "Parquet")
    except ImportError:
        raise MissingExtra(f"reading {str(path)!r} needs pyarrow; pip install pyarrow, or export the log as CSV") from None
    except (OSError, ValueError) as error:
        raise ProblemError(f"the log {str(path)!r} is no Parquet: {error}") from None


READER = Reader("Parquet", _recognises, read)
