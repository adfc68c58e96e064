"""The cost frontier: share of cases that lose less than 0.05 nats against what was paid, at seven horizons.

160 and 640 steps: the bake-off; 200 and 800: tasks on which short lanes mislead; 2,500 to 40,000: budgets from 1 % of a run.
`python -m benchmarks.bakeoff.frontier` draws it again beside the newest record of the bake-off.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.basins.score import CEILING
from benchmarks.long_horizon.score import scored
from benchmarks.shares import by_task, over_tasks

RECORDS = Path(__file__).parents[1] / "records"
NATS = 0.05
FREE = 0.002
"""Where the chart shows what costs nothing, in full runs."""
COLOURS = {
    "etastar find": "#7b3fa0",
    "etastar find --budget, % of a run": "#c05bb0",
    "nothing is measured": "#7d8894",
    "range test": "#c96f1e",
    "grid": "#2a7f62",
    "Optuna, random search": "#2f6fb3",
}
"""What a method is -> its colour."""
FAMILIES = {
    "etastar": "etastar find",
    "budget": "etastar find --budget, % of a run",
    "usual rate": "nothing is measured",
    "default": "nothing is measured",
    "prior": "nothing is measured",
    "optuna": "Optuna, random search",
    "random": "Optuna, random search",
    "short grid": "grid",
    CEILING: "grid",
    "": "range test",
}
"""How a method's name begins -> what it is."""
ROWS = {"the bake-off": (160, 640), "tasks on which short lanes mislead": (200, 800), "long runs": (2_500, 10_000, 40_000)}
"""Panels of a row."""
Point = dict[str, Any]
Case = tuple[str, float, float]
"""(task/optimizer/schedule, cost, whether or how often it is good)."""
Told = Iterable[tuple[int, str, Case]]
"""(steps, method, case)."""


def points() -> list[Point]:
    """What the chart shows: a point a method and horizon."""
    told = (_bakeoff(_rows("bakeoff")), _basins(_rows("basins")), _budgets(_rows("budgets")))
    return points_of(itertools.chain(*told))


def points_of(told: Told) -> list[Point]:
    """A point a method and horizon, of cases."""
    own: dict[tuple[int, str], list[Case]] = defaultdict(list)
    for steps, method, case in told:
        own[steps, method].append(case)
    return [_point(*key, some) for key, some in own.items()]


def _rows(name: str) -> list[dict[str, Any]]:
    newest = max(path for path in RECORDS.glob(f"*_{name}") if (path / "results.jsonl").stat().st_size)
    return list(map(json.loads, (newest / "results.jsonl").read_text().splitlines()))


def _bakeoff(rows: list[dict[str, Any]]) -> Told:
    for row in rows:
        if not row["method"].startswith("before: "):
            good = sum(lost < NATS for lost in row["regret"]) / len(row["points"])
            cell, _, steps = row["case"].rpartition("/")
            yield int(steps), row["method"], (cell, row["cost"], good)


def _basins(rows: list[dict[str, Any]]) -> Told:
    for row in rows:
        if row["kind"] == "answer" and "trained" not in row["effort"]:
            name = row["effort"] if row["effort"] in ("usual rate", CEILING) else f"etastar {row['effort']}"
            yield row["steps"], name, (row["cell"].rpartition("/")[0], row["cost"], row["good"])


def _budgets(rows: list[dict[str, Any]]) -> Told:
    names = {"usual": "usual rate", "prior": "prior", "glance": "etastar glance", "quick": "etastar quick"}
    for row in scored(rows):
        if row["arm"] == "budget":
            yield row["steps"], f"budget {row['budget']:.0%}", (row["cell"], row["cost"], row["near"])
        elif row["arm"] in names:
            yield row["steps"], names[row["arm"]], (row["cell"], row["cost"], row["near"])


def _point(steps: int, method: str, some: list[Case]) -> Point:
    """The mean cost and the share of one method at one horizon, with the share's interval, tasks resampled."""
    family = next(own for start, own in FAMILIES.items() if method.startswith(start))
    _, low, high = over_tasks(by_task(some, lambda told: told[0].split("/")[0], lambda told: told[2]).values())
    cost, good = statistics.fmean(told[1] for told in some), statistics.fmean(told[2] for told in some)
    short = (
        method.removeprefix("etastar ")
        .removeprefix("budget ")
        .removesuffix("%")
        .partition(" (")[0]
        .removesuffix(" of the other tasks")
    )
    return {
        "steps": steps, "method": method, "cost": max(cost, FREE), "good": good, "low": low, "high": high, "family": family,
        "label": short, "cells": len({cell for cell, *_ in some}),
    }  # fmt: skip


def _labelled(panel: list[Point]) -> Iterator[Point]:
    """All of ours keep their labels; of every other family the best one does."""
    for point in panel:
        alike = [p for p in panel if p["family"] == point["family"]]
        ours = point["family"].startswith("etastar")
        best = point is max(alike, key=lambda p: p["good"])
        yield point | {"ours": ours, "label": point["label"] if ours or best else ""}


def draw(folder: Path) -> None:
    """frontier.png: a row a kind of task, a panel a horizon."""
    import vl_convert

    found = points()
    rows = []
    for title, horizons in ROWS.items():
        panels = [_panel(steps, list(_labelled([p for p in found if p["steps"] == steps]))) for steps in horizons]
        rows.append(
            {
                "hconcat": panels,
                "bounds": "flush",
                "spacing": 110,
                "title": {"text": title, "anchor": "start", "fontSize": 15, "offset": 12},
            }
        )
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "vconcat": rows,
        "spacing": 28,
    }
    (folder / "frontier.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=1.3))


def _panel(steps: int, values: list[Point]) -> dict[str, Any]:
    x = {"field": "cost", "type": "quantitative", "scale": {"type": "log", "domain": [FREE * 0.7, 40]}}
    x |= {"axis": {"values": [0.01, 0.1, 1, 10], "format": "~g"}, "title": f"full runs; at the left ({FREE:g}): nothing"}
    y = {"field": "good", "type": "quantitative", "scale": {"domain": [-0.06, 1.06]}}
    y |= {"axis": {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]}, "title": f"lose < {NATS:g} nats"}
    colour = {"field": "family", "type": "nominal", "title": None, "legend": {"orient": "bottom"}}
    colour |= {"scale": {"domain": list(COLOURS), "range": list(COLOURS.values())}}
    ours = [{"filter": "datum.ours"}]
    words = {"text": {"field": "label"}}
    text = lambda where, **mark: {
        "transform": [{"filter": where}], "mark": {"type": "text", "fontSize": 10.5, **mark}, "encoding": words,
    }  # fmt: skip
    layer = [
        {
            "transform": ours,
            "mark": {"type": "rule", "opacity": 0.3},
            "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}},
        },
        {"transform": ours, "mark": {"type": "line", "strokeDash": [3, 3]}},
        {"mark": {"type": "circle", "size": 55, "opacity": 0.9}},
        text("datum.family == 'etastar find --budget, % of a run'", dy=13),
        text("datum.family == 'etastar find'", dx=-5, dy=-6, align="right"),
        text("!datum.ours", align="left", dx=6, dy=3),
    ]
    encoding, cells = {"x": x, "y": y, "color": colour}, max(point["cells"] for point in values)
    return {
        "title": f"{steps:,} steps, {cells} combinations",
        "width": 290,
        "height": 230,
        "data": {"values": values},
        "encoding": encoding,
        "layer": layer,
    }


if __name__ == "__main__":
    draw(max(RECORDS.glob("*_bakeoff")))
