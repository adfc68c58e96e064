"""The cost frontier: share of cases that lose less than 0.05 nats against what was paid, at five horizons, of three records.

160 and 640 steps: the bake-off; 200 and 800: tasks on which short lanes mislead; 10,000: budgets of 1, 2 and 5 %.
`python -m benchmarks.bakeoff.frontier` draws it again beside the newest record of the bake-off.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.long_horizon.arms import SHIPPED
from benchmarks.long_horizon.score import scored

RECORDS = Path(__file__).parents[1] / "records"
NATS = 0.05
FREE = 0.002
"""Where the chart shows what costs nothing, in full runs."""
FAMILIES = {
    "etastar": "etastar",
    "usual rate": "nothing is measured",
    "default": "nothing is measured",
    "prior": "nothing is measured",
}
FAMILIES |= {
    "optuna": "Optuna, random search",
    "random": "Optuna, random search",
    "short grid": "short grid",
    "": "range test",
}
"""How a method's name begins -> what it is."""
Point = dict[str, Any]


def points() -> list[Point]:
    """What the chart shows: a point a method and horizon."""
    return [*_bakeoff(_rows("bakeoff")), *_basins(_rows("basins")), *_long_horizon(_rows("long_horizon"))]


def _rows(name: str) -> list[dict[str, Any]]:
    newest = max(path for path in RECORDS.glob(f"*_{name}") if (path / "results.jsonl").stat().st_size)
    return list(map(json.loads, (newest / "results.jsonl").read_text().splitlines()))


def _bakeoff(rows: list[dict[str, Any]]) -> Iterator[Point]:
    own: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if not row["method"].startswith("before: "):
            good = sum(lost < NATS for lost in row["regret"]) / len(row["points"])
            own[int(row["case"].rpartition("/")[2]), row["method"]].append((row["cost"], good))
    yield from (_point(*key, some) for key, some in own.items())


def _basins(rows: list[dict[str, Any]]) -> Iterator[Point]:
    own: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "answer" and "trained" not in row["effort"]:
            name = row["effort"] if row["effort"] == "usual rate" else f"etastar {row['effort']}"
            own[row["steps"], name].append((row["cost"], row["good"]))
    yield from (_point(*key, some) for key, some in own.items())


def _long_horizon(rows: list[dict[str, Any]]) -> Iterator[Point]:
    own: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in scored(rows):
        if row["arm"] == SHIPPED:
            own[f"etastar --budget {row['budget']:.0%}"].append((row["cost"], row["near"]))
        elif row["arm"] in ("usual", "prior"):
            own["usual rate" if row["arm"] == "usual" else "prior"].append((0.0, row["near"]))
    yield from (_point(10_000, name, some) for name, some in own.items())


def _point(steps: int, method: str, some: list[tuple[float, float]]) -> Point:
    """The mean cost and the share of one method at one horizon."""
    cost, good = (statistics.fmean(values) for values in zip(*some, strict=True))
    family = next(own for start, own in FAMILIES.items() if method.startswith(start))
    short = method.removeprefix("etastar ").removeprefix("--budget ").partition(" (")[0].removesuffix(" of the other tasks")
    label = short if family == "etastar" or method.startswith("usual rate") else ""
    return {"steps": steps, "method": method, "cost": max(cost, FREE), "good": good, "family": family, "label": label}


def draw(folder: Path) -> None:
    """frontier.png: a panel a horizon."""
    import vl_convert

    colours = {"etastar": "#7b3fa0", "nothing is measured": "#9aa5b1", "range test": "#c96f1e"}
    colours |= {"short grid": "#2a7f62", "Optuna, random search": "#2f6fb3"}
    x = {"field": "cost", "type": "quantitative", "scale": {"type": "log", "domain": [FREE * 0.8, 40]}}
    x |= {"axis": {"values": [0.01, 0.1, 1, 10]}, "title": f"full runs; {FREE:g}, at the left: nothing"}
    y = {"field": "good", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": "%"}}
    colour = {"field": "family", "type": "nominal", "title": None, "legend": {"orient": "bottom"}}
    colour |= {"scale": {"domain": list(colours), "range": list(colours.values())}}
    found = sorted(points(), key=lambda point: point["steps"])
    panels = []
    for steps in dict.fromkeys(point["steps"] for point in found):
        encoding = {
            "x": x,
            "y": y | {"title": f"cases that lose < {NATS:g} nats"},
            "color": colour,
        }
        layer = [
            {"mark": {"type": "line", "strokeDash": [3, 3]}, "transform": [{"filter": "datum.family == 'etastar'"}]},
            {"mark": {"type": "circle", "size": 60, "opacity": 0.85}},
            {"mark": {"type": "text", "align": "left", "dx": 6, "dy": 9}, "encoding": {"text": {"field": "label"}}},
        ]
        values = [point for point in found if point["steps"] == steps]
        panels.append(
            {"title": f"{steps:,} steps", "width": 230, "height": 260, "data": {"values": values}, "encoding": encoding}
            | {"layer": layer}
        )
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "columns": 3,
        "concat": panels,
    }
    (folder / "frontier.png").write_bytes(vl_convert.vegalite_to_png(spec, scale=1.3))


if __name__ == "__main__":
    draw(max(RECORDS.glob("*_bakeoff")))
