"""The charts of a search: loss against every parameter, best loss over the trials, what the loss depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from etastar.designs.search.search_space import Parameter
from etastar.reports.chart_parts import HALO_THEN_INK, INK, WIDTH, around, framed, in_style, rate_axis, rows_of
from etastar.reports.loss_rows import MAX_ROWS, evenly
from etastar.reports.panels import round_values
from etastar.reports.rate_text import LABEL_EXPRESSION, rate_text
from etastar.reports.search_marks import FLOOR, JITTER, RUG, Heights, loss_title, trial_marks, trial_rows
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED, Mark
from etastar.verbs.search.search_answer import SearchAnswer

LABELS = (0.17, 0.08)
"""Heights of the lowest label above the highest loss, and of each next one above it, in shares of the range of losses."""
LETTER = 7.4
"""Pixels a letter of a label takes, about."""
COLUMNS = 3


def search_charts(answer: SearchAnswer) -> dict[str, Any]:
    """name -> chart, in reading order."""
    drawn = evenly(answer.trials, MAX_ROWS - 1)
    if answer.best is not None and answer.best.trial not in drawn:
        drawn = sorted([*drawn, answer.best.trial], key=lambda trial: trial.number)
    heights = Heights.of([t.loss for t in drawn if t.loss is not None and not t.diverged])
    rows = trial_rows(answer, drawn, heights)
    if not rows:
        return {}
    note = "" if len(drawn) == len(answer.trials) else f"{len(drawn):,} of {len(answer.trials):,} trials, evenly chosen"
    found: dict[str, Any] = {"rates": _rates_chart(answer, rows, heights, note)}
    if answer.best is not None:
        found["progress"] = _progress_chart(answer, rows, heights, note)
    others = [p for p in answer.space if p.name != "lr" and (p.choices is None or len(p.choices) > 1)]
    if others:
        found["parameters"] = _parameters_chart(answer, others, rows, heights, note)
    if answer.importance:
        found["importance"] = _importance_chart(answer)
    return found


def _rates_chart(answer: SearchAnswer, rows: list[dict[str, Any]], heights: Heights, note: str) -> alt.LayerChart:
    """Every trial's loss against its rate, the span of near-best rates, and rules at the rates that matter."""
    marks = _marks(answer)
    e = answer.eta_star
    ends = [v for v in (e.low, e.value, e.high) if v is not None and e.ok]
    domain = around([*(row["lr"] for row in rows), *ends, *(mark.lr for mark in marks)], 0.15)
    x = rate_axis("lr:Q", domain, round_values(domain[0], domain[1], 9))
    top = 1 + LABELS[0] + LABELS[1] * max(len(marks) - 0.5, 0)
    y = heights.axis(loss_title(answer), top)
    floor, rug = heights.at(FLOOR), heights.at(1 + RUG)
    layers: list[alt.Chart] = []
    for estimate, colour in ((e, ETA_STAR), (answer.lr, RECOMMENDED)):
        if estimate.ok:
            row = rows_of([{"lr": estimate.low, "end": estimate.high, "height": floor, "rug": rug}])
            layers.append(
                row.mark_rect(color=colour, opacity=0.12, clip=True).encode(x=x, x2=alt.X2("end:Q"), y=y, y2=alt.Y2("rug:Q"))
            )
    labels: list[alt.Chart] = []
    for i, mark in enumerate(marks):
        row = rows_of(
            [{"lr": mark.lr, "end": floor, "height": heights.at(1 + LABELS[0] + LABELS[1] * i), "text": mark.text}]
        )
        rule = row.mark_rule(color=mark.colour, strokeDash=list(mark.dash), strokeWidth=1.5, clip=True)
        layers.append(rule.encode(x=x, y=heights.axis(loss_title(answer), top, "end:Q"), y2=alt.Y2("height:Q")))
        room = WIDTH * math.log(mark.lr / domain[0]) / math.log(domain[1] / domain[0])
        side = {"align": "right", "dx": -5} if room > LETTER * len(mark.text) + 10 else {"align": "left", "dx": 5}
        for style in HALO_THEN_INK:
            text = {"color": mark.colour, "fontSize": 12.5, "fontWeight": "bold", "clip": True, **side, **style}
            labels.append(row.mark_text(**text).encode(x=x, y=y, text=alt.Text("text:N")))
    layers += [*trial_marks(answer, rows, x, y), *labels]
    title = f"{answer.problem}: loss of every trial against its learning rate"
    return framed(layers, title, height=heights.pixels, note=note)


def _marks(answer: SearchAnswer) -> list[Mark]:
    """The rates that matter, lowest first: a label to the left of its rule crosses no other."""
    marks = []
    if answer.lr.value is not None:
        marks.append(Mark(answer.lr.value, f"best {rate_text(answer.lr.value)}", RECOMMENDED))
    e = answer.eta_star
    if e.value is not None and e.low is not None and e.high is not None:
        text = f"eta* {rate_text(e.value)} [{rate_text(e.low)}, {rate_text(e.high)}]"
        marks.append(Mark(e.value, text, ETA_STAR))
    if answer.yours is not None:
        marks.append(Mark(answer.yours.lr, f"yours {rate_text(answer.yours.lr)}", INK, (5, 3)))
    return sorted(marks, key=lambda mark: mark.lr)


def _progress_chart(answer: SearchAnswer, rows: list[dict[str, Any]], heights: Heights, note: str) -> alt.LayerChart:
    """The lowest loss so far as a line, over all trials in the order in which they were asked."""
    last = max(row["trial"] for row in rows)
    axis = alt.Axis(grid=False, tickMinStep=1, format="d")
    x = alt.X("trial:Q", title="trial", scale=alt.Scale(domain=[-0.5, last + 0.5], nice=False), axis=axis)
    title, top = loss_title(answer), 1 + 2 * RUG
    reached = [row for row in rows if row["lowest"] is not None]
    line = rows_of(reached).mark_line(interpolate="step-after", color=RECOMMENDED, strokeWidth=2, clip=True)
    layers = [
        line.encode(x=x, y=heights.axis(title, top, "lowest:Q")),
        *trial_marks(answer, rows, x, heights.axis(title, top)),
    ]
    return framed(layers, f"{answer.problem}: best loss so far", height=min(heights.pixels, 230), note=note)


def _parameters_chart(
    answer: SearchAnswer, others: Sequence[Parameter], rows: list[dict[str, Any]], heights: Heights, note: str
) -> Any:
    """A panel per parameter beside the rate, with the same marks and the same axis of losses."""
    names = [p.name for p in answer.space]
    width = WIDTH // COLUMNS - 80
    panels = []
    for i, p in enumerate(others):
        field = f"p{names.index(p.name)}"
        y = heights.axis("loss" if i % COLUMNS == 0 else "", 1 + 2 * RUG)
        channels: dict[str, Any] = {}
        if p.choices is not None:
            choices = list(dict.fromkeys(map(str, p.choices)))
            x = _choice_axis(field, choices, width)
            channels["xOffset"] = alt.XOffset("beside:Q", scale=alt.Scale(domain=[-2, JITTER + 1]))
        else:
            x = _range_axis(field, p)
        layers = trial_marks(answer, rows, x, y, legend=i == 0, size=30, **channels)
        heading = alt.TitleParams(p.name, fontSize=12, color=INK, limit=width)
        panels.append(alt.LayerChart(layer=layers, width=width, height=min(heights.pixels, 170), title=heading))
    title = f"{answer.problem}: loss of every trial against what else was searched"
    grid = alt.concat(*panels, columns=COLUMNS, spacing=16).resolve_scale(xOffset="independent")  # bands differ in width
    return in_style(grid, title, note)


def _choice_axis(field: str, choices: Sequence[str], width: int) -> alt.X:
    """Choices in the order of the space, slanted where the longest would run into its neighbours."""
    fits = LETTER * max(map(len, choices)) < width / len(choices)
    axis = alt.Axis(labelAngle=0) if fits else alt.Axis(labelAngle=-35, labelAlign="right", labelLimit=110)
    return alt.X(f"{field}:N", title=None, sort=choices, scale=alt.Scale(domain=choices), axis=axis)


def _range_axis(field: str, parameter: Parameter) -> alt.X:
    """Numbers from the lowest to the highest that may be tried, in the logarithm where they were drawn so."""
    low, high = parameter.low, parameter.high
    assert low is not None and high is not None
    if parameter.log:
        scale = alt.Scale(type="log", domain=around([low, high], 0.05 * math.log10(high / low)), nice=False)
        axis = alt.Axis(grid=False, labelExpr=LABEL_EXPRESSION, values=round_values(low, high, 5) or [low, high])
    else:
        room = 0.05 * (high - low)
        scale = alt.Scale(domain=[low - room, high + room], nice=False)
        whole = alt.Axis(grid=False, tickCount=4, tickMinStep=1, format="d")
        axis = whole if parameter.integer else alt.Axis(grid=False, tickCount=4)
    return alt.X(f"{field}:Q", title=None, scale=scale, axis=axis)


def _importance_chart(answer: SearchAnswer) -> alt.LayerChart:
    """Bars, the most important parameter first."""
    assert answer.importance is not None
    shares = sorted(answer.importance.items(), key=lambda item: -item[1])
    rows = [{"name": name, "share": share, "text": f"{share:.0%}"} for name, share in shares]
    y = alt.Y("name:N", sort=[row["name"] for row in rows], title=None, axis=alt.Axis(labelLimit=220))
    scale = alt.Scale(domain=[0, 1.08 * max(shares[0][1], 0.01)], nice=False)
    x = alt.X("share:Q", title="importance", scale=scale, axis=alt.Axis(format="%", tickCount=5))
    bars = rows_of(rows).mark_bar(color=ETA_STAR, height={"band": 0.6}).encode(x=x, y=y)
    text = rows_of(rows).mark_text(align="left", dx=5, color=INK).encode(x=x, y=y, text=alt.Text("text:N"))
    return framed([bars, text], f"{answer.problem}: what the loss depends on", height=28 * len(rows), width=WIDTH - 160)
