"""What `find` makes of tasks on which short lanes mislead: two basins, late overfitting, heavy tails, and ordinary ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table

BEFORE = Path(__file__).parents[1] / "records" / "2026-11-26_basins" / "before.jsonl"
"""The answers of the code before there was a last look (70a3c7e), on the same curves."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.basins.answers import cases, left_out, replayed, trained
    from benchmarks.basins.truth import recorded

    folder = Path(config["folder"])
    for _ in recorded(folder, config["tasks"]):  # kept in the folder: 10 MB
        pass
    found = list(cases(folder))
    yield from replayed(found)
    yield from left_out(found)
    yield from trained(found, lambda case: case.cell.steps in config["trained"])


def _summary(rows: list[Row]) -> str:
    from benchmarks.basins.report import summary

    before = list(map(json.loads, BEFORE.read_text().splitlines())) if BEFORE.exists() else []
    return summary(before, rows, table)


CASE = Case(
    "What `find` makes of tasks on which short lanes mislead",
    _rows,
    _summary,
    {"folder": "out/basins", "tasks": [], "trained": [200]},
)
