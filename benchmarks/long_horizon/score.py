"""What an arm's rate loses, what its interval holds, and what both gain over what is known for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage import wilson
from benchmarks.long_horizon.tasks import HORIZON
from benchmarks.long_horizon.truth import WINDOW, Row, Truth

LOSS, NATS = WINDOW, 0.05
"""A rate is good if its loss is within 5 % of the oracle's; on the second bar, within .05 nats."""
ALPHA = 0.1
DRAWS = 4000
FREE = 0.003
"""Where the chart shows what costs nothing."""


def scored(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every arm's row with what is true of it."""
    truths = {(r["cell"], r["steps"]): Truth.of(r) for r in rows if r["kind"] == "truth"}
    return [_scored(r, truths[r["cell"], r.get("steps", HORIZON)]) for r in rows if r["kind"] == "arm"]


def _scored(row: Row, truth: Truth) -> dict[str, Any]:
    lr = row["lr"]
    ratio, nats = (math.inf, math.inf) if lr is None else (truth.ratio(lr), truth.nats(lr))
    found = row | {
        "task": row["cell"].split("/")[0],
        "ratio": ratio,
        "nats": nats,
        "best": truth.best,
        "good": ratio <= LOSS,
        "near": nats <= NATS,
    }
    if row["low"] is None:
        return found
    low, high = math.log10(row["low"]), math.log10(row["high"])
    miss = max(low - truth.best, truth.best - high, 0.0)
    return found | {"width": high - low, "holds": miss == 0, "winkler": high - low + 2 / ALPHA * miss}


def of_arm(found: Sequence[dict[str, Any]], arm: str, budget: float) -> dict[str, list[dict[str, Any]]]:
    """Cell -> its rows, of one arm and budget."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for r in found:
        if r["arm"] == arm and r["budget"] == budget:
            cells.setdefault(r["cell"], []).append(r)
    return cells


def paired(one: dict[str, list], other: dict[str, list], key: str) -> tuple[float, float, float]:
    """Mean difference over tasks of equal weight, with its 95 % interval, tasks resampled."""
    by_task: dict[str, list[float]] = {}
    for cell, own in one.items():
        off = float(np.mean([r[key] for r in own])) - float(np.mean([r[key] for r in other[cell]]))
        by_task.setdefault(cell.split("/")[0], []).append(off)
    means = np.array([np.mean(v) for v in by_task.values()])
    drawn = np.random.default_rng(0).choice(means, (DRAWS, len(means))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(means.mean()), float(low), float(high)


def summary(rows: Sequence[Row], table: Callable[[list[str], list[list[Any]]], str]) -> str:
    """The table of arms, and of the exponents."""
    found = scored(rows)
    arms = list(dict.fromkeys((r["arm"], r["budget"]) for r in found))
    usual, prior = of_arm(found, "usual", 0.0), of_arm(found, "prior", 0.0)
    lines = []
    for arm, budget in sorted(arms, key=lambda a: (a[1], a[0])):
        own = of_arm(found, arm, budget)
        flat = [r for some in own.values() for r in some]
        mean = lambda key, some=flat: float(np.mean([r[key] for r in some]))
        line = [arm, f"{budget:.0%}", len(flat), f"{mean('cost'):.3f}", f"{mean('good'):.2f}", f"{mean('near'):.2f}"]
        line += [_with(paired(own, base, key)) for base, key in ((usual, "good"), (usual, "near"), (prior, "good"))]
        if "width" in flat[0]:
            held = sum(r["holds"] for r in flat)
            low, high = wilson(held, len(flat))
            line += [f"{held}/{len(flat)} = {held / len(flat):.0%} [{low:.0%}, {high:.0%}]", f"{mean('width'):.2f}"]
            line += [f"{mean('winkler'):.2f}", _with(paired(own, prior, "winkler"))]
        else:
            line += ["-"] * 4
        lines.append(line)
    head = [
        "arm", "budget", "answers", "cost, runs", "within 5 %", "within .05 nats", "gain on the usual rate, 5 %",
        "the same, .05 nats", "gain on the prior", "interval holds it", "width, decades", "Winkler", "- the prior's",
    ]  # fmt: skip
    return table(head, lines)


def _with(found: tuple[float, float, float]) -> str:
    value, low, high = found
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def chart(rows: Sequence[Row], folder: Path) -> None:
    """Gain over the usual rate against cost, with its 95 % interval, tasks resampled."""
    import vl_convert

    found = scored(rows)
    usual, points = of_arm(found, "usual", 0.0), []
    for arm, budget in dict.fromkeys((r["arm"], r["budget"]) for r in found if r["arm"] != "usual"):
        own = of_arm(found, arm, budget)
        gain, low, high = paired(own, usual, "good")
        cost = float(np.mean([r["cost"] for some in own.values() for r in some]))
        points.append({"arm": arm, "cost": max(cost, FREE), "gain": gain, "low": low, "high": high})
    x = {"field": "cost", "type": "quantitative", "scale": {"type": "log"}, "title": f"cost, full runs ({FREE:g}: nothing)"}
    y = lambda name: {"field": name, "type": "quantitative", "title": "gain in the share within 5 % of the oracle's loss"}
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json", "width": 520, "height": 320,
        "data": {"values": points}, "encoding": {"x": x, "color": {"field": "arm", "type": "nominal"}},
        "layer": [
            {"mark": {"type": "rule", "opacity": 0.35}, "encoding": {"y": y("low"), "y2": {"field": "high"}}},
            {"mark": {"type": "line", "point": True}, "encoding": {"y": y("gain")}},
        ],
    }  # fmt: skip
    (folder / "gain.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
