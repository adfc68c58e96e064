"""What a look at stability costs, and a training that is watched."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table

LOOK, CHANGE, MARGIN = 1.03, 0.17, 1.3
"""The formula, in steps of as many samples: a row of one step is two looks and a change; and how far off it may be."""
MOST = 0.03
"""Of a training with 20 rows in 1,500 steps."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.stability import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    parts, whole = ([r for r in rows if r["kind"] == kind] for kind in ("parts", "training"))
    lines = []
    for network in dict.fromkeys(r["network"] for r in parts):
        some = [r["seconds"] for r in parts if r["network"] == network]
        step = statistics.median(s["step"] for s in some)
        shares = [_spread([s[name] / s["step"] for s in some]) for name in some[0] if name != "step"]
        lines.append([network, f"{1e3 * step:,.0f}", *shares])
    head = ["network", "a step, ms", *(f"{name}, steps" for name in parts[0]["seconds"] if name != "step")]
    trained = []
    for network in dict.fromkeys(r["network"] for r in whole):
        some = [r for r in whole if r["network"] == network]
        for name in ("every 100", "every 75", "every 20"):
            more = [r["seconds"][name] / r["seconds"]["off"] - 1 for r in some]
            predicted = (2 * LOOK + CHANGE) / int(name.split()[1])
            middle = statistics.median(more)
            verdict = "met" if middle <= MARGIN * predicted else "**missed**"
            if name == "every 75":
                verdict += f"; at most {MOST:.0%}: " + ("met" if middle <= MOST else "**missed**")
            spread = f"**{middle:.1%}** ({min(more):.1%} .. {max(more):.1%})"
            trained.append([network, f"{some[0]['steps']:,}", name, spread, f"{predicted:.1%}", verdict])
    text = (
        "CPU time on one thread, batches and looks of 32 pictures of noise, rounds in turn; medians (range). The formula: a "
        f"row takes 2 x {LOOK} + {CHANGE} steps; a training may take {MARGIN} x that more."
    )
    more = table(["network", "steps", "a row", "more CPU time (range)", "formula", f"within {MARGIN} x"], trained)
    return f"{text}\n\n{table(head, lines)}\n\n{more}"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} .. {max(values):.2f})"


CASE = Case(
    "What a look at stability costs",
    _rows,
    _summary,
    {
        "networks": [{"width": 16, "side": 16, "steps": 300}, {"width": 64, "side": 32, "steps": 0}],
        "batch": 32,
        "rounds": 8,
    },
)
