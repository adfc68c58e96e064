"""`compare` of eight policies on digits-mlp against the loops a user would write for it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.compare import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    def spread(key: str, form: str) -> str:
        values = [row[key] for row in rows]
        return f"{statistics.median(values):{form}} ({min(values):{form}} .. {max(values):{form}})"

    head = ["", "`compare`, s", "the same lanes by hand, s", "ratio (range over rounds)"]
    lines = [
        [name, spread(ours, ".1f"), spread(hand, ".1f"), f"**{spread(ratio, '.1f')}x**"]
        for name, ours, hand, ratio in (
            ("CPU of one core", "cpu_s", "hand_cpu_s", "cpu_ratio"),
            ("wall: two workers, one loop", "wall_s", "hand_wall_s", "wall_ratio"),
        )
    ]
    losses = [
        [name, *(f"{statistics.median(row[key][name] for row in rows):.4f}" for key in ("losses", "hand_losses"))]
        for name in rows[0]["hand_losses"]
    ]
    engines = "; ".join(sorted({row["engine"] for row in rows}))
    text = (
        f"digits-mlp, 8 policies, each at its own peak, {rows[0]['seeds']} fresh seeds: {spread('trainings', '.0f')} "
        f"trainings, {spread('steps', ',.0f')} steps, the search of the peaks on both sides, preflight and choice of the "
        f"engine on ours ({engines}). Alternating, {len(rows)} rounds, medians; load of the machine "
        f"{spread('load', '.1f')}. By hand: torch's own schedulers, a hypergradient of six lines, greedy taken for plateau, "
        "losses kept, one validation at the end; the rates to try are given to it. The target was 5x."
    )
    return f"{text}\n\n{table(head, lines)}\n\n{table(['final loss', '`compare`', 'by hand'], losses)}"


CASE = Case(
    "`compare` against the loops a user would write for it", _rows, _summary, {"rounds": 5, "budget": 15, "workers": 2}
)
