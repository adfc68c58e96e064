"""eta* of quadratics, whose answer is exact."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.quadratics import exact_row, noisy_rows

    for momentum in config["momenta"]:
        for curvatures in config["spectra"]:
            for seed in range(config["exact_seeds"]):
                yield exact_row(curvatures, momentum, seed)
    yield from noisy_rows(config["noise"], config["noisy_seeds"])


def _summary(rows: list[Row]) -> str:
    from benchmarks.coverage import wilson

    lines = []
    for kind in dict.fromkeys(r["kind"] for r in rows):
        some = [r for r in rows if r["kind"] == kind]
        k = sum(r["inside"] for r in some)
        low, high = wilson(k, len(some))
        width = statistics.median((r["high"] - r["low"]) / 2 / r["value"] for r in some if r["value"])
        lines.append([kind, f"{k} of {len(some)}", f"{low:.0%} .. {high:.0%}", f"{width:.2%}"])
    return table(["quadratics", "truth inside the interval", "95 % Wilson", "median half-width"], lines)


CASE = Case(
    "eta* of quadratics, whose answer is exact",
    _rows,
    _summary,
    {
        "momenta": [0.0, 0.5, 0.9],
        "spectra": [[1.0, 0.5, 0.2, 0.1, 0.05], [30.0, 1.0], [0.002, 0.001]],
        "exact_seeds": 3,
        "noise": [0.3],
        "noisy_seeds": 100,
    },
)
