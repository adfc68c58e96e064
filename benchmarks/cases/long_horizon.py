"""A rate for 10,000 steps from 1 - 5 % of them: short lanes, trunks and the prior at equal cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.long_horizon.arms import tried
    from benchmarks.long_horizon.truth import Truth, recorded, recorded_others

    folder, truths = Path(config["folder"]), []
    for row in recorded(folder):
        truths.append(Truth.of(row))
        yield row
    yield from tried(truths, folder, config["seeds"])
    yield from recorded_others(folder)


def _summary(rows: list[Row]) -> str:
    from benchmarks.long_horizon.score import summary

    return summary(rows, table)


def _chart(rows: list[Row], folder: Path) -> None:
    from benchmarks.long_horizon.score import chart

    chart(rows, folder)


CASE = Case(
    "A rate for 10,000 steps from 1 - 5 % of them, at equal cost; every constant from the other tasks",
    _rows,
    _summary,
    {"folder": "out/long-horizon", "seeds": 1},
    _chart,
)
