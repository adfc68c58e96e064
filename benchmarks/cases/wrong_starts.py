"""Find --effort quick from a usual rate, from 1e-7 and from 10, where the start of training says little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.wrong_starts import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.wrong_starts import summary

    return summary(rows)


CASE = Case(
    "find --effort quick from a usual rate, from 1e-7 and from 10, where the start of training says little",
    _rows,
    _summary,
    {"seeds": [0, 1]},
)
