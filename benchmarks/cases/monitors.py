"""What monitors cost, 20 looks at a training."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table

MOVE, SHARPNESS, PRODUCTS, STEPS_A_PRODUCT = 0.05, 1.3, 10, 2.5
"""Targets: a share of the training; and a multiple of looks x products x the steps that a product should cost."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.monitors import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for problem, engine in dict.fromkeys((r["problem"], r["engine"]) for r in rows):
        some = [r for r in rows if (r["problem"], r["engine"]) == (problem, engine)]
        off = statistics.median(r["seconds"]["off"] for r in some)
        lines += [
            [problem, engine, f"{1e6 * off / some[0]['steps']:,.0f}", name, *_cost(some, name)]
            for name in some[0]["seconds"]
            if name != "off"
        ]
    looks, steps, rounds = rows[0]["looks"], rows[0]["steps"], max(r["round"] for r in rows)
    budget = SHARPNESS * looks * PRODUCTS * STEPS_A_PRODUCT / steps
    text = (
        f"One lane of {steps:,} steps, {looks} looks, {rounds} rounds: CPU time with a monitor over without, less 1, "
        f"of one round and one seed. Targets: move at most {MOVE:.0%}; sharpness at most {SHARPNESS} x ({looks} looks x "
        f"{PRODUCTS} products x {STEPS_A_PRODUCT} steps) = {budget:.0%}, in steps of the engine that trains."
    )
    header = ["problem", "engine", "a step, us", "monitor", "more (range over rounds)", "a look, in steps", "target"]
    return f"{text}\n\n{table(header, lines)}"


def _cost(some: list[Row], name: str) -> list[str]:
    """The share more, a look in steps, and whether that is within the target."""
    more = sorted(r["seconds"][name] / r["seconds"]["off"] - 1 for r in some)
    middle, looks, steps = statistics.median(more), some[0]["looks"], some[0]["steps"]
    most = {"move": MOVE, "sharpness": SHARPNESS * looks * PRODUCTS * STEPS_A_PRODUCT / steps}.get(name)
    verdict = "none" if most is None else "met" if middle <= most else "**missed**"
    if most is not None and more[0] <= most < more[-1]:
        verdict += " by the median, not in every round"
    return [f"**{middle:.1%}** ({more[0]:.1%} .. {more[-1]:.1%})", f"{middle * steps / looks:.1f}", verdict]


CASE = Case(
    "What monitors cost, 20 looks at a training",
    _rows,
    _summary,
    {"problems": ["digits-mlp", "digits-cnn"], "steps": 1500, "rounds": 5},
)
