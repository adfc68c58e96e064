"""Intervals of forecast curves, chosen without the set they are judged on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.left_out import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.left_out import summary

    return summary(rows, table)


CASE = Case(
    "Intervals of forecast curves, where what the law lacks was chosen on other sets",
    _rows,
    _summary,
    {"folder": "data", "store": "out/one_pass.db", "seeds": 6, "tasks": ["characters", "fashion"]},
)
