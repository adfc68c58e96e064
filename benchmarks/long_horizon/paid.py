"""What was paid and what it gave, a line a horizon and price; the cells that lose most first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.coverage import wilson
from benchmarks.long_horizon.score import scored
from benchmarks.long_horizon.truth import Row

Table = Callable[[list[str], list[list[Any]]], str]
SHOWN = 8
"""Cells that lose most, at each horizon."""


def summary(rows: Sequence[Row], table: Table) -> str:
    """The record as Markdown."""
    found = scored(rows)
    head = [
        "steps", "arm", "price, runs", "cells", "cost, runs", "within .05 nats", "within 5 %", "nats lost",
        "interval holds it", "width, decades",
    ]  # fmt: skip
    keys = dict.fromkeys((r["steps"], r["arm"], r["budget"]) for r in found)
    lines = [[*key, *_line([r for r in found if (r["steps"], r["arm"], r["budget"]) == key])] for key in keys]
    parts = [
        f"{len({(r['cell'], r['steps']) for r in found})} cells; truth: 13 rates, one seed. Where each search loses most:",
        losing(found, table),
        "What every price buys (arms of one horizon on the same cells):",
        table(head, lines),
    ]
    return "\n\n".join(parts)


def losing(found: Sequence[dict[str, Any]], table: Table) -> str:
    """What `quick` and budgets of 10 % and more lose most on."""
    own = [r for r in found if r["arm"] in ("quick", "glance") or (r["arm"] == "budget" and r["budget"] >= 0.1)]
    lines = []
    for steps in dict.fromkeys(r["steps"] for r in own):
        worst = sorted((r for r in own if r["steps"] == steps), key=lambda r: -r["nats"])[:SHOWN]
        lines += [
            [steps, r["cell"], _price(r), _said(r["lr"]), f"{10 ** r['best']:.2g}", f"{r['nats']:+.3f}"] for r in worst
        ]
    return table(["steps", "cell", "search", "rate", "best", "nats lost"], lines)


def _said(lr: float | None) -> str:
    return "none" if lr is None else f"{lr:.2g}"


def _price(row: dict[str, Any]) -> str:
    return f"--budget {row['budget']:g}" if row["arm"] == "budget" else row["arm"]


def _line(rows: Sequence[dict[str, Any]]) -> list[str]:
    mean = lambda key: float(np.mean([r[key] for r in rows]))
    lost = float(np.mean([min(r["nats"], 0.5) for r in rows]))
    line = [str(len(rows)), f"{mean('cost'):.3f}", f"{mean('near'):.0%}", f"{mean('good'):.0%}", f"{lost:.3f}"]
    ranged = [r for r in rows if "width" in r]
    if not ranged:
        return [*line, "", ""]
    held, n = sum(r["holds"] for r in ranged), len(ranged)
    low, high = wilson(held, n)
    width = float(np.mean([r["width"] for r in ranged]))
    return [*line, f"{held}/{n} = {held / n:.0%} [{low:.0%}, {high:.0%}]", f"{width:.2f}"]
