"""Wall time of find --effort quick against one ordinary training."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table

RATIOS = {"ratio": "quick / ordinary, wall", "cpu_ratio": "the same of the processor"}
BUSY = "wall / processor of the ordinary run"
"""More than 1 where no core was free for it. At 1 one was, perhaps not both: then the two ratios agree."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.quick import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for name, steps in dict.fromkeys((r["problem"], r["steps"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["steps"]) == (name, steps)]
        middle = [f"{statistics.median(r[key] for r in some):.2f}" for key in ("ordinary_s", "quick_s", "full_runs")]
        busy = statistics.median(r["ordinary_s"] / r["ordinary_cpu_s"] for r in some)
        engine = statistics.mode(r["engine"] for r in some)
        lines.append([name, steps, *middle, *(_spread([r[key] for r in some]) for key in RATIOS), f"{busy:.1f}", engine])
    header = [
        "problem",
        "steps",
        "one ordinary run, s",
        "quick, s",
        "full runs",
        *RATIOS.values(),
        BUSY,
        "engine (most often)",
    ]
    return table(header, lines)


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"


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
