"""Measured eta* against what predict expects before any training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.predict import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    from benchmarks.coverage import wilson

    lines = []
    for kind, optimizer in dict.fromkeys((r["kind"], r["optimizer"]) for r in rows):
        some = [r for r in rows if (r["kind"], r["optimizer"]) == (kind, optimizer) and r["inside"] is not None]
        inside = sum(r["inside"] for r in some)
        low, high = wilson(inside, len(some), 0.9)
        off = sorted(abs(r["log10_off"]) for r in some)
        safe = sum(r["start"] is not None and r["start"] <= r["eta_star"] for r in some)
        width = statistics.median(math.log10(r["high"] / r["low"]) for r in some)
        lines.append(
            [
                kind,
                optimizer,
                len(some),
                f"{inside} ({low:.0%} .. {high:.0%})",
                f"{width:.2f}",
                f"{statistics.median(off):.2f}, {off[-1]:.2f}",
                safe,
            ]
        )
    header = ["networks", "optimizer", "n", "eta* where expected (Wilson, 90 %)", "width, decades"]
    return table([*header, "decades off the middle: median, most", "start <= eta*"], lines)


CASE = Case(
    "Measured eta* against what predict expects before any training",
    _rows,
    _summary,
    {"optimizers": ["sgd:lr=0.1", "momentum:lr=0.05", "adam:lr=0.001"]},
)
