"""Wall time of find --effort quick against one ordinary training."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.quick import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for name, steps in dict.fromkeys((r["problem"], r["steps"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["steps"]) == (name, steps)]
        ratios = [r["ratio"] for r in some]
        middle = [f"{statistics.median(r[key] for r in some):.2f}" for key in ("ordinary_s", "quick_s", "full_runs")]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
        lines.append([name, steps, *middle, spread, some[-1]["engine"]])
    return table(["problem", "steps", "one ordinary run, s", "quick, s", "full runs", "quick / ordinary", "engine"], lines)


CASE = Case(
    "Wall time of find --effort quick against one ordinary training",
    _rows,
    _summary,
    {
        "problems": [
            ["digits-mlp", 400],
            ["digits-mlp", 1600],
            ["digits-deep-mlp", 400],
            ["digits-cnn", 400],
            ["digits-transformer", 400],
        ],
        "rounds": 5,
    },
)
