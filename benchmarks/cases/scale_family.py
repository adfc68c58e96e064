"""Held-out members of a family: etastar scale against one rate for all, 1 / lambda1 and the probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.scale_family import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.scale_family import summary

    return summary(rows, table)


CASE = Case(
    "Held-out members of a family: etastar scale against one rate for all, 1 / lambda1 and the probes",
    _rows,
    _summary,
    {
        "arms": [
            [data, optimizer, input_rate]
            for input_rate in (0.01, 1.0)
            for optimizer in ("sgd:lr=0.1", "adam:lr=0.001")
            for data in ("digits", "fashion", "cifar")
        ],
        "store": ".etastar/scale-family.db",
    },
)
