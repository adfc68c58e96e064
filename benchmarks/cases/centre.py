"""eta* relative to the critical rate eta_c, which centres its search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.centre import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for kinds in (("sgd", "momentum"), ("adam",)):
        ratios = sorted(
            r["log10_ratio"] for r in rows if r["optimizer"].split(":")[0] in kinds and r["log10_ratio"] is not None
        )
        refused = sum(r["log10_ratio"] is None for r in rows if r["optimizer"].split(":")[0] in kinds)
        lines.append(
            [" and ".join(kinds), len(ratios), refused, *(f"{np.quantile(ratios, q):+.2f}" for q in (0, 0.25, 0.5, 0.75, 1))]
        )
    header = ["optimizer", "networks", "no answer", "log10(eta* / eta_c): least", "25 %", "median", "75 %", "most"]
    return table(header, lines)


CASE = Case(
    "eta* relative to the critical rate eta_c, which centres its search",
    _rows,
    _summary,
    {"optimizers": ["sgd:lr=0.1", "momentum:lr=0.05", "adam:lr=0.001"]},
)
