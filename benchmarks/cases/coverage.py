"""Coverage of the 90 % interval of eta* on synthetic truths."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.coverage import replicate

    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for kind in config["truths"]:
            for width in config["widths"]:
                yield from pool.map(partial(replicate, kind, width), range(config["replicates"]), chunksize=8)


def _summary(rows: list[Row]) -> str:
    from benchmarks.coverage import wilson

    lines = []
    for key in dict.fromkeys((r["truth"], r["width"]) for r in rows):
        some = [r for r in rows if (r["truth"], r["width"]) == key]
        k, n = sum(r["covered"] for r in some), len(some)
        low, high = wilson(k, n)
        met = sum(r["half_width"] is not None and r["half_width"] <= 0.1 for r in some)
        runs = statistics.fmean(r["runs"] for r in some)
        lines.append([*key, n, f"{k / n:.1%}", f"{low:.1%} .. {high:.1%}", f"{runs:.1f}", f"{met / n:.0%}"])
    header = ["truth", "10-90 % width", "replicates", "coverage", "95 % Wilson", "mean runs beyond scan", "reached +-10 %"]
    return table(header, lines)


CASE = Case(
    "Coverage of the 90 % interval of eta* on synthetic truths",
    _rows,
    _summary,
    {"truths": ["logistic", "skewed", "islands"], "widths": [0.17, 0.3, 0.45], "replicates": 300},
)
