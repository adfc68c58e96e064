"""Laws of loss curves on schedules they were not fitted to, and on logs cut short."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.curves import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.curves import summary

    return summary(rows, table)


CASE = Case(
    "Laws of loss curves on schedules they were not fitted to (25M, 100M, 124M), and on logs cut short",
    _rows,
    _summary,
    {"folder": "data/loss-curves"},
)
