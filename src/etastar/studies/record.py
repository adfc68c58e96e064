"""The record of a study: a folder whose rows are kept as they are measured, so that a killed study goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from etastar.errors import ProblemError, in_one_line

Row = dict[str, Any]
RESULTS, CONFIG, ENVIRONMENT, README, LOCK = "results.jsonl", "config.toml", "environment.json", "README.md", ".lock"


STATES = "states"
"""Folder beside the rows, of what a measurement leaves for others; it goes when all of them are there."""


def row_id(*parts: Any) -> str:
    """What a row is of, in 16 digits: study, version, data, seed and the measurement's key."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


class StudyRecord:
    """`folder`/results.jsonl, one line a measurement, written when it is done.

    Raises:
        ProblemError: the folder cannot be written, or its results.jsonl is not the record of a study.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._rows = self._read()
            with (self.folder / RESULTS).open("a"):
                pass
        except OSError as error:
            raise ProblemError(
                f"--out {self.folder} cannot be written ({error.strerror or error}); pass a folder you can write to"
            ) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile; a killed process holds nothing.

        Raises:
            ProblemError: another process writes to the folder.
        """
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ProblemError(
                f"another process is running a study in {self.folder}; wait for it, or choose another --out"
            ) from None
        except (OSError, NotImplementedError) as error:
            raise ProblemError(
                f"--out {self.folder} cannot be locked ({in_one_line(error)}); pass a folder on a disk of this machine"
            ) from error
        try:
            self._rows = self._read()
            yield
        finally:
            lock.release()

    def get(self, row: str) -> Row | None:
        """The row with this id, if it was measured before."""
        return self._rows.get(row)

    def add(self, row: Row) -> None:
        """Keep a row: it survives a kill from here on."""
        self._rows[row["id"]] = row
        with (self.folder / RESULTS).open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self, rows: Iterable[Row], config: Mapping[str, Any], environment: Mapping[str, Any], readme: str) -> None:
        """Write the rest of the record; results.jsonl then holds these rows, in this order, and those of other settings."""
        rows = list(rows)
        known = {row["id"] for row in rows}
        others = [row for key, row in self._rows.items() if key not in known]
        lines = [json.dumps(row, allow_nan=False) for row in [*rows, *others]]
        self._replace(RESULTS, "".join(f"{line}\n" for line in lines))
        self._replace(CONFIG, "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
        self._replace(ENVIRONMENT, json.dumps(environment, indent=2) + "\n")
        self._replace(README, readme)

    def _replace(self, name: str, content: str) -> None:
        """All of it or nothing, whenever the process is killed."""
        half = self.folder / f".{name}.part"
        half.write_text(content, encoding="utf-8")
        half.replace(self.folder / name)

    def _read(self) -> dict[str, Row]:
        path = self.folder / RESULTS
        if not path.exists():
            return {}
        content = path.read_text(encoding="utf-8", errors="replace")
        lines = content.split("\n")
        rows: dict[str, Row] = {}
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                row = json.loads(line)
                rows[row["id"]] = row
            except (ValueError, KeyError, TypeError):
                if number == len(lines):  # no newline behind it: killed while writing it
                    self._replace(RESULTS, content[: len(content) - len(line)])
                    continue
                raise ProblemError(
                    f"{path}, line {number}, is not a row of a study; choose another --out, or move the file away"
                ) from None
        return rows
