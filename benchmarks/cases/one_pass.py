"""Laws of loss curves on one-pass tasks of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.one_pass_scores import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.one_pass_scores import summary

    return summary(rows, table)


CASE = Case(
    "Laws of loss curves on one-pass tasks of our own, under schedules they were not fitted to",
    _rows,
    _summary,
    {"folder": "data", "tasks": ["characters", "fashion"], "store": "out/one_pass.db", "seeds": 6, "draws": 30},
)
