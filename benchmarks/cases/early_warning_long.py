"""Whether `watch` warns at its default cadence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.early_warning_long import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.early_warning_long import summary

    return summary(rows, table)


CASE = Case(
    "Whether `watch` warns at its default cadence, on trainings of 2,000 steps",
    _rows,
    _summary,
    {"folder": "data/early_warning_long", "rounds": 3, "most": 168},
)
