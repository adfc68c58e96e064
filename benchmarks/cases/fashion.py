"""eta* on Fashion-MNIST against an earlier, independent measurement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, find_row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    import etastar
    from benchmarks.fashion import TABLE_B1, load
    from benchmarks.fashion import problem as make

    folder = Path(os.environ.get("ETASTAR_FASHION", config["folder"]))
    data = load(folder)
    for (depth, width), (b1, b1_low, b1_high) in TABLE_B1.items():
        for seed in range(config["seeds"]):
            problem = make(data, depth, width).but(seed=seed)
            answer = etastar.eta_star(problem, options=etastar.Options(store=":memory:"))
            row = find_row(answer, problem=f"{depth}x{width}", optimizer="SGD, input x0.01", seed=seed)
            overlap = row["value"] is not None and row["low"] <= b1_high and b1_low <= row["high"]
            yield {**row, "b1": b1, "b1_low": b1_low, "b1_high": b1_high, "overlap": overlap}


def _summary(rows: list[Row]) -> str:
    lines = [
        [
            r["problem"],
            r["seed"],
            f"{r['value']:.3g} [{r['low']:.3g}, {r['high']:.3g}]",
            f"{r['b1']:.3g} [{r['b1_low']:.3g}, {r['b1_high']:.3g}]",
            "yes" if r["overlap"] else "NO",
            f"{r['value'] / r['b1'] - 1:+.0%}",
            f"{r['transition']:.2f}",
            r["runs"],
            f"{r['seconds']:.0f}",
        ]
        for r in rows
    ]
    header = [
        "depth x width",
        "seed",
        "eta* here, 90 %",
        "earlier measurement, 95 %",
        "overlap",
        "difference",
        "width",
        "runs",
        "s",
    ]
    return table(header, lines)


CASE = Case(
    "eta* on Fashion-MNIST against an earlier, independent measurement",
    _rows,
    _summary,
    {"folder": "data/fashion-mnist", "seeds": 2},
)
