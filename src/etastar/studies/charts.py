"""Charts of studies: a quantity against a size on two log axes, with intervals and straight lines for laws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from etastar.reports.chart_parts import AXIS, WIDTH, in_style, rows_of
from etastar.reports.rate_text import LABEL_EXPRESSION

SERIES_COLOURS = ("#0b62b0", "#c2570c", "#2a9d6f", "#7b3fa0", "#c8372d", "#0f8b8d", "#8a6d00", "#5b6770", "#d35d9e")

LEAST_SPAN = 0.7
"""Decades an axis shows at least, or noise would look like a law."""


@dataclass(frozen=True)
class DataPoint:
    """One member in a chart.

    Args:
        x, y: where; low and high: its interval.
        series: what its colour says.
        name: shown when pointed at.
        hollow: it lies outside the declared region.
    """

    x: float
    y: float
    series: str
    name: str
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True)
class Line:
    """A law: y at a few x; its name stands in the legend."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


@dataclass(frozen=True)
class LogLog:
    """A panel with two log axes.

    Args:
        title, x, y: words.
        marks: members.
        lines: laws.
        connect: join the marks of a series.
    """

    title: str
    x: str
    y: str
    marks: Sequence[DataPoint]
    lines: Sequence[Line] = ()
    connect: bool = True


@debug_mode(False)  # checked as a whole when it is written
def loglog_chart(panels: Sequence[LogLog], title: str, note: str = "", height: int = 320) -> Any:
    """The panels side by side, each series in the same colour everywhere."""
    names = list(dict.fromkeys(m.series for p in panels for m in p.marks))
    width = max((WIDTH - 40) // max(len(panels), 1) - 56, 150)
    charts = [_panel(p, names, width, height, legend=i == len(panels) - 1) for i, p in enumerate(panels)]
    return in_style(charts[0] if len(charts) == 1 else alt.hconcat(*charts, spacing=18), title, note)


def _panel(panel: LogLog, names: list[str], width: int, height: int, *, legend: bool) -> alt.LayerChart:
    x_scale = _scale([m.x for m in panel.marks])
    y_scale = _scale([v for m in panel.marks for v in (m.y, m.low, m.high) if v])
    axis = alt.Axis(labelExpr=LABEL_EXPRESSION, grid=True)
    x = alt.X("x:Q", title=panel.x, scale=x_scale, axis=alt.Axis(labelExpr=LABEL_EXPRESSION, grid=False))
    y = alt.Y("y:Q", title=panel.y, scale=y_scale, axis=axis)
    key = alt.Legend(title=None, orient="bottom", columns=5, symbolType="circle") if len(names) > 1 else None
    scale = alt.Scale(domain=names, range=[SERIES_COLOURS[i % len(SERIES_COLOURS)] for i in range(len(names))])
    colour = alt.Color("series:N", scale=scale, legend=key)
    rows = rows_of(_row(m) for m in panel.marks)
    tooltip = [alt.Tooltip("name:N", title="member"), alt.Tooltip("x:Q", format=".4~g"), alt.Tooltip("y:Q", format=".3~g")]
    layers: list[alt.Chart] = []
    for line in panel.lines:
        points = rows_of({"x": a, "y": b, "law": line.name} for a, b in line.points)
        dash = [5, 4] if line.dashed else [1, 0]
        layers.append(
            points.mark_line(color=AXIS, strokeWidth=2, strokeDash=dash, clip=True).encode(x=x, y=y, tooltip=["law:N"])
        )
    if panel.connect:
        layers.append(rows.mark_line(strokeWidth=1, opacity=0.45).encode(x=x, y=y, color=colour))
    if any(m.low and m.high for m in panel.marks):
        bars = rows_of(_row(m) for m in panel.marks if m.low and m.high)
        low = y.copy()
        low.shorthand = "low:Q"
        layers.append(bars.mark_rule(strokeWidth=1.3).encode(x=x, y=low, y2=alt.Y2("high:Q"), color=colour))
    for hollow in (False, True):
        some = [m for m in panel.marks if m.hollow is hollow]
        if some:
            look: dict[str, Any] = {"fill": "white", "strokeWidth": 1.6} if hollow else {"filled": True}
            dots = rows_of(_row(m) for m in some).mark_point(size=48, opacity=1, **look)
            layers.append(dots.encode(x=x, y=y, color=colour, tooltip=tooltip))
    heading = alt.TitleParams(panel.title, fontSize=12, fontWeight="normal", anchor="start", offset=4)
    return alt.LayerChart(layer=layers).properties(width=width, height=height, title=heading)


def _row(m: DataPoint) -> dict[str, Any]:
    return {"x": m.x, "y": m.y, "low": m.low, "high": m.high, "series": m.series, "name": m.name}


def _scale(values: Sequence[float]) -> alt.Scale:
    logs = [math.log10(v) for v in values if v > 0] or [0.0]
    room = max(0.06 * (max(logs) - min(logs)), 0.03, (LEAST_SPAN - max(logs) + min(logs)) / 2)
    return alt.Scale(type="log", domain=[10 ** (min(logs) - room), 10 ** (max(logs) + room)], nice=False)
