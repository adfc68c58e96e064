"""The charts of a sensitivity and of the effect of momentum: few series, one panel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from etastar.reports.chart_parts import WIDTH, in_style
from etastar.reports.charts import curves_chart
from etastar.reports.panels import (
    Panel,
    frame_of,
    loss_panel,
    over_each_other,
    reliability_panel,
    series_of,
    time_chart,
)
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer

WIDE = WIDTH - 40


def sensitivity_charts(answer: SensitivityAnswer) -> dict[str, Any]:
    """name -> chart, in reading order."""
    if not answer.cells:
        return {}
    panel = Panel("", (series_of(answer.cells, answer.data.records, answer.schedule, 0),))
    frame = frame_of([panel])
    chart = loss_panel(panel, frame, answer.loss_name, width=WIDE, height=260)
    found: dict[str, Any] = {"loss": in_style(chart, f"{answer.problem}: {answer.loss_name} after {answer.steps:,} steps")}
    found["reliability"] = over_each_other(
        [panel],
        f"{answer.problem}: how many seeds train",
        lambda p, first, width: reliability_panel(p, frame, first=first, width=width),
    )
    curves = curves_chart(answer.problem, answer.runs, answer.steps, answer.facts.criterion)
    if curves is not None:
        found["losses"] = curves
    if answer.data.target is not None:
        found["time"] = time_chart([panel], frame, answer.problem, answer.data.target, answer.steps)
    return found


def momentum_charts(answer: MomentumAnswer) -> dict[str, Any]:
    """name -> chart, in reading order: against the rate, and against rate / (1 - momentum)."""
    rows = [(i, r) for i, r in enumerate(answer.rows) if r.data.cells]
    if not rows:
        return {}
    series = [series_of(r.data.cells, r.data.records, f"{answer.setting} {r.value:g}", i) for i, r in rows]
    panel = Panel("", tuple(series))
    frame = frame_of([panel])
    title = f"{answer.problem}: {answer.loss_name} after {answer.steps:,} steps"
    found: dict[str, Any] = {"loss": in_style(_with_legend(panel, answer.loss_name), title)}
    if answer.setting == "momentum":
        scaled = []
        for own, (_, r) in zip(series, rows, strict=True):
            cells = tuple(replace(c, lr=c.lr / (1 - r.value)) for c in own.cells)
            records = [replace(x, lr=x.lr / (1 - r.value)) for x in own.records]
            scaled.append(replace(own, cells=cells, records=records))
        chart = _with_legend(Panel("", tuple(scaled)), answer.loss_name, "learning rate / (1 - momentum)")
        found["effective"] = in_style(chart, title + ", against rate / (1 - momentum)")
    found["reliability"] = over_each_other(
        [panel],
        f"{answer.problem}: how many seeds train",
        lambda p, first, width: reliability_panel(p, frame, first=first, width=width),
    )
    return found


def _with_legend(panel: Panel, loss_name: str, x_title: str = "learning rate") -> Any:
    return loss_panel(panel, frame_of([panel]), loss_name, width=WIDE, height=300, legend=True, x_title=x_title)
