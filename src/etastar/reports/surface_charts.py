"""Final loss, reliability and time against the learning rate, and what cannot be had at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from etastar.reports.chart_parts import INK, WIDTH, in_style, rate_tooltip, rows_of
from etastar.reports.panels import (
    COLOURS,
    GAP,
    Frame,
    Panel,
    Series,
    beside,
    frame_of,
    loss_panel,
    over_each_other,
    reliability_panel,
    time_chart,
)
from etastar.reports.rate_text import LABEL_EXPRESSION
from etastar.verbs.surface.surface_answer import SurfaceAnswer

LAW_ROWS = 2500
"""Rows spent on curves of the law: Altair refuses more than 5000 in all."""


def panels_of(answer: SurfaceAnswer) -> list[Panel]:
    """One panel per horizon, one series per schedule."""
    points = max(min(81, LAW_ROWS // max(len(answer.rows), 1)), 9)
    panels = []
    for horizon in answer.horizons:
        series = []
        for i, schedule in enumerate(answer.schedules):
            best = next((b for b in answer.rows if (b.schedule, b.horizon) == (schedule, horizon)), None)
            records = [r for r in answer.data.records if (r.schedule, r.horizon) == (schedule, horizon)]
            if best is None or not records:
                continue
            curve = answer.law.curve(schedule, horizon, points)
            cells = answer.data.row(schedule, horizon)
            series.append(Series(schedule, COLOURS[i % len(COLOURS)], cells, records, curve, best.plateau, best.lr.value))
        panels.append(Panel(f"{horizon:,} steps", tuple(series)))
    return [panel for panel in panels if panel.series]


def loss_grid(panels: Sequence[Panel], frame: Frame, title: str, loss_name: str) -> alt.VConcatChart:
    """A row of panels per series: the curves are wide apart in what they say, and lie on each other in one panel."""
    names = list(dict.fromkeys(s.name for p in panels for s in p.series))
    rows = []
    for name in names:
        own = [(p, s) for p in panels for s in p.series if s.name == name]
        single = [Panel(f"{name}, {p.title}", (s,)) for p, s in own]
        rows.append(
            beside(single, lambda p, first, w: loss_panel(p, frame, loss_name if first else "", width=w, height=150))
        )
    return in_style(alt.vconcat(*rows, spacing=GAP), title)


def front_chart(answer: SurfaceAnswer) -> alt.LayerChart | None:
    """Final loss against time to the target; cells that no other beats are ringed and named by their rate."""
    front = set(answer.front)
    cells = [c for c in answer.data.cells if c.loss is not None and c.time is not None]
    if not cells:
        return None
    rows = [
        {
            "time": c.time,
            "loss": c.loss,
            "lr": c.lr,
            "schedule": c.schedule,
            "steps": f"{c.horizon:,}",
            "train": c.reliability,
        }
        for c in cells
    ]
    losses = [c.loss for c in cells if c.loss is not None]
    times = [c.time for c in cells if c.time is not None]
    span = alt.Scale(type="log", domain=[min(times) / 1.15, max(times) * 1.15], nice=False)
    values = [
        v for m in (1, 1.5, 2, 3, 5, 7) for k in range(8) if min(times) / 1.15 <= (v := m * 10.0**k) <= max(times) * 1.15
    ]
    x = alt.X("time:Q", title="median steps to the target loss", scale=span, axis=alt.Axis(format="~s", values=values))
    room = max((max(losses) / min(losses)) ** 0.06, 1.05) if min(losses) > 0 else 0.06 * (max(losses) - min(losses)) or 1.0
    logs = alt.Scale(type="log", domain=[min(losses) / room, max(losses) * room], nice=False)
    plain = alt.Scale(domain=[min(losses) - room, max(losses) + room], nice=False)
    y = alt.Y(
        "loss:Q",
        title=f"median {answer.loss_name}",
        scale=logs if min(losses) > 0 else plain,
        axis=alt.Axis(labelExpr=LABEL_EXPRESSION, minExtent=44, grid=False),
    )
    scale = alt.Scale(domain=answer.schedules, range=[COLOURS[i % len(COLOURS)] for i in range(len(answer.schedules))])
    colour = alt.Color("schedule:N", scale=scale)
    shapes = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]
    names = [f"{h:,}" for h in answer.horizons]
    shape = alt.Shape("steps:N", scale=alt.Scale(domain=names, range=[shapes[i % len(shapes)] for i in range(len(names))]))
    tooltip = [rate_tooltip(), "schedule:N", "steps:N", *(alt.Tooltip(f"{k}:Q", format=".3~g") for k in ("time", "loss"))]
    tooltip.append(alt.Tooltip("train:Q", format=".0%", title="seeds that train"))
    base = rows_of(rows).mark_point(size=60, filled=True)
    faint = alt.Opacity("train:Q", scale=alt.Scale(domain=[0, 1], range=[0.15, 0.75]), legend=None)
    layers = [base.encode(x=x, y=y, color=colour, shape=shape, opacity=faint, tooltip=tooltip)]
    best = sorted((row for row, cell in zip(rows, cells, strict=True) if cell in front), key=lambda row: row["time"])
    if best:
        named = rows_of(best)
        layers.append(named.mark_point(size=170, color=INK, strokeWidth=1.6).encode(x=x, y=y, tooltip=tooltip))
        text = alt.Text("lr:Q", format=".2~r")
        for below, rates in ((False, best[::2]), (True, best[1::2])):  # neighbours' labels on either side
            if rates:
                look = {"dx": 11, "dy": 15 if below else -11, "align": "left", "color": INK, "fontSize": 12}
                layers.append(rows_of(rates).mark_text(**look).encode(x=x, y=y, text=text))
    chart = alt.layer(*layers).properties(width=WIDTH - 140, height=300)
    return in_style(chart, f"{answer.problem}: loss against time, the undominated cells ringed (label: rate)")


def surface_charts(answer: SurfaceAnswer) -> dict[str, Any]:
    """name -> chart, in reading order."""
    panels = panels_of(answer)
    if not panels:
        return {}
    frame = frame_of(panels)
    found: dict[str, Any] = {"loss": loss_grid(panels, frame, f"{answer.problem}: {answer.loss_name}", answer.loss_name)}
    found["reliability"] = over_each_other(
        panels,
        f"{answer.problem}: how many seeds train",
        lambda p, first, width: reliability_panel(p, frame, first=first, width=width),
    )
    if answer.data.target is not None:
        found["time"] = time_chart(panels, frame, answer.problem, answer.data.target, max(answer.horizons))
    front = front_chart(answer)
    return found if front is None else {**found, "front": front}
