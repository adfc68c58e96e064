"""How early a rate that will diverge is noticed, and at what price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.early_warning import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.early_warning import summary

    return summary(rows, table)


CASE = Case(
    "How early a rate that will diverge is noticed, and at what price",
    _rows,
    _summary,
    {"folder": "data/early_warning", "rounds": 9, "most": 270},
)
