"""Rows appended to a JSONL file as they are found: a run that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("ETASTAR_BAKEOFF", ".etastar/bakeoff"))
SUGGESTIONS, TRAINED = "suggestions.jsonl", "trained.jsonl"
Key = tuple[str, str, int]


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of `path`; a last line that a killed process left half-written is passed over."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


class Rows:
    """The rows of one file, each known by (case, method, seed). Workers hand their rows to the process that holds this."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._keys = {key(row) for row in read(path)}
        self._close_last_line()

    def __contains__(self, wanted: Key) -> bool:
        return wanted in self._keys

    def add(self, rows: Iterable[dict[str, Any]]) -> int:
        """Append the rows that are not there yet; how many these were."""
        new = [row for row in rows if key(row) not in self._keys]
        self._write("".join(json.dumps(row) + "\n" for row in new))
        self._keys |= {key(row) for row in new}
        return len(new)

    def _close_last_line(self) -> None:
        if self._path.exists() and not self._path.read_bytes().endswith(b"\n") and self._path.stat().st_size:
            self._write("\n")

    def _write(self, text: str) -> None:
        """In one piece, so that two scripts may append to the same file."""
        with self._path.open("ab", buffering=0) as file:
            file.write(text.encode())


def key(row: dict[str, Any]) -> Key:
    """What a row is about."""
    return row["case"], row["method"], row["seed"]


def suggestion(
    case: str, method: str, seed: int, lr: float | None, steps: int = 0, seconds: float = 0.0, note: str = ""
) -> dict[str, Any]:
    """A row of `SUGGESTIONS`: the rate `method` recommends for `case`, and the gradient steps it took."""
    row = {"case": case, "method": method, "seed": seed, "lr": lr, "steps": steps, "seconds": round(seconds, 3)}
    return {**row, "note": note}
