"""Lanes that could not be saved wait in a file, and are taken in when their store is next opened: JSON, a line a lane.

Beside a store that is a file; in the folder .etastar of the current one for a store on a server.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from etastar.errors import StoreError
from etastar.store.schema import epoch_table, problem_table, reading_table, run_table, step_table
from etastar.store.sound import row_of

FOLDER = Path(".etastar")
Row = dict[str, Any]
_TABLES = {
    "problem": problem_table,
    "run": run_table,
    "epochs": epoch_table,
    "steps": step_table,
    "readings": reading_table,
}
_NOT_JSON = {"inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True)
class Parcel:
    """One lane as the store keeps it: the row of its problem, its own, and those of its epochs, steps and readings."""

    problem: Row
    run: Row
    epochs: Sequence[Row]
    steps: Sequence[Row]
    readings: Sequence[Row] = ()


@dataclass(frozen=True)
class Waiting:
    """Where the unsaved lanes of one store wait.

    Args:
        folder: of the files.
        prefix: of their names, the store's own.
    """

    folder: Path
    prefix: str

    @classmethod
    def of(cls, name: str, path: Path | None) -> Waiting:
        """Of the store `name`, which is the file `path`, or a server if that is None."""
        if path is not None:
            return cls(path.absolute().parent, f"{path.name}-unsaved-")
        return cls(FOLDER.absolute(), f"{hashlib.blake2b(name.encode(), digest_size=6).hexdigest()}-unsaved-")

    def keep(self, parcels: Iterable[Parcel]) -> Path:
        """Write them into a file of their own, all or nothing; returns it.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.prefix}{os.getpid()}-{uuid.uuid4().hex[:6]}.jsonl"
        half = path.with_suffix(".part")
        try:
            with half.open("x", encoding="utf-8") as file:
                file.writelines(f"{_line(parcel)}\n" for parcel in parcels)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        return path

    def files(self) -> list[Path]:
        """Those that wait now."""
        return sorted(path for path in self.folder.glob(f"{glob.escape(self.prefix)}*.jsonl") if path.is_file())


def read(path: Path) -> list[Parcel]:
    """What `Waiting.keep` wrote.

    Raises:
        StoreError: a line is not as it was written.
        OSError: it cannot be read.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [_parcel(line, f"{path}, line {number},") for number, line in enumerate(lines, 1)]


def _line(parcel: Parcel) -> str:
    content = json.dumps({name: _plain(value) for name, value in vars(parcel).items()}, allow_nan=False)
    return json.dumps({"digest": _digest(content), "lane": content})


def _parcel(line: str, where: str) -> Parcel:
    try:
        written = json.loads(line)
        if written["digest"] != _digest(written["lane"]):
            raise ValueError
        content = json.loads(written["lane"])
        content.setdefault("readings", [])  # a file from before there were any
        parcel = Parcel(**{name: _rows(content[name], table, where) for name, table in _TABLES.items()})
        keys = {row["run_key"] for row in (*parcel.epochs, *parcel.steps, *parcel.readings)}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{where} is not as it was written") from None
    if parcel.run["problem_id"] != parcel.problem["id"] or keys - {parcel.run["key"]}:
        raise StoreError(f"{where} mixes two lanes")
    return parcel


def _rows(content: Any, table: sa.Table, where: str) -> Any:
    if isinstance(content, list):
        return [_rows(row, table, where) for row in content]
    floats = {c.name for c in table.columns if isinstance(c.type, sa.Float)}
    read = {name: _NOT_JSON.get(value, value) if name in floats else value for name, value in content.items()}
    return row_of(table, read, where)


def _plain(value: Any) -> Any:
    """Infinity, which JSON does not know, as a word."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _digest(content: str) -> str:
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
