"""What 1 % of a run to 3.2 of them buy at 2,500, 10,000 and 40,000 steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.long_horizon.budgets import tried

    yield from tried(Path(config["folder"]))


def _summary(rows: list[Row]) -> str:
    from benchmarks.long_horizon.paid import summary

    return summary(rows, table)


CASE = Case(
    "What 1 % of a run to 3.2 of them buy at 2,500, 10,000 and 40,000 steps",
    _rows,
    _summary,
    {"folder": "out/long-horizon"},
)
