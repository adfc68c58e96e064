"""Loss at the end against the learning rate: one line a length of lane, the recommended rate, its interval and plateau."""

from __future__ import annotations

from typing import Any

import altair as alt

from etastar.reports.chart_parts import AXIS, HALO_THEN_INK, INK, around, framed, rate_axis, rate_tooltip, rows_of
from etastar.reports.rate_text import LABEL_EXPRESSION, rate_text
from etastar.reports.share_chart import RECOMMENDED
from etastar.verbs.find.find_answer import FindAnswer

SHADES = ("#b6c6d6", "#6f93b8", "#0b62b0")
"""Short lanes pale, long ones strong."""


def best_chart(answer: FindAnswer) -> alt.LayerChart | None:
    """The lanes that were run for the best rate; None where none lowered its loss."""
    rows = _rows(answer)
    known = [row["loss"] for row in rows if not row["failed"]]
    if not known or all(rung.best is None for rung in answer.best.rungs):
        return None
    low, high = min(known), max(known)
    positive = low > 0
    top = high * (high / low) ** 0.08 if positive and high > low else high + 0.08 * (high - low or 1.0)
    for row in rows:
        row["loss"] = top if row["failed"] else row["loss"]
    bottom = low / (high / low) ** 0.05 if positive and high > low else low - 0.05 * (high - low or 1.0)
    scale = alt.Scale(type="log" if positive else "linear", domain=[bottom, top], nice=False)
    yours = [answer.yours.lr] if answer.yours else []
    ends = [end for end in (answer.lr.low, answer.lr.value, answer.lr.high) if end]
    x = rate_axis("lr:Q", around([*(row["lr"] for row in rows), *ends, *yours]))
    axis = alt.Axis(labelExpr=LABEL_EXPRESSION, minExtent=44, grid=False)
    y = alt.Y("loss:Q", title=answer.best.scored_on + " at the end", scale=scale, axis=axis)
    layers = [*_bands(answer, x, bottom, top, y), *_lanes(rows, x, y), *_marks(answer, x, y, bottom, top)]
    note = "crosses on the top edge: lanes that failed" if any(row["failed"] for row in rows) else ""
    return framed(layers, f"{answer.problem}: which rate ends best", height=300, note=note)


def _rows(answer: FindAnswer) -> list[dict[str, Any]]:
    return [
        {"lr": lr, "loss": loss, "failed": loss is None, "steps": f"{rung.steps:,} steps", "order": rung.steps}
        for rung in answer.best.rungs
        for lr, _, loss in rung.points
    ]


def _bands(answer: FindAnswer, x: alt.X, bottom: float, top: float, y: alt.Y) -> list[alt.Chart]:
    """The interval as a pale column, the plateau as a stronger strip along the bottom."""
    layers = []
    if answer.lr.ok:
        row = rows_of([{"lr": answer.lr.low, "high": answer.lr.high, "loss": bottom, "top": top}])
        layers.append(
            row.mark_rect(color=RECOMMENDED, opacity=0.08, clip=True).encode(
                x=x, x2=alt.X2("high:Q"), y=y, y2=alt.Y2("top:Q")
            )
        )
    if answer.best.plateau:
        low, high = answer.best.plateau
        row = rows_of([{"lr": low, "high": high, "loss": bottom}])
        strip = row.mark_rule(color=RECOMMENDED, strokeWidth=9, opacity=0.45, clip=True)
        layers.append(strip.encode(x=x, x2=alt.X2("high:Q"), y=y, tooltip=[alt.Tooltip("lr:Q"), alt.Tooltip("high:Q")]))
    return layers


def _lanes(rows: list[dict[str, Any]], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    names = [row["steps"] for row in sorted(rows, key=lambda row: row["order"])]
    lengths = list(dict.fromkeys(names))
    colours = [
        SHADES[min(len(SHADES) - len(lengths) + i, 2)] if len(lengths) <= 3 else SHADES[-1] for i in range(len(lengths))
    ]
    colour = alt.Color("steps:N", title="length of the lanes", scale=alt.Scale(domain=lengths, range=colours))
    tooltip = [rate_tooltip(), alt.Tooltip("loss:Q", format=".4~g"), alt.Tooltip("steps:N")]
    without_loss = [rate_tooltip(), alt.Tooltip("steps:N")]  # a failed lane has a place on the page, but no loss
    alive = rows_of(rows).transform_filter("!datum.failed")
    failed = rows_of(rows).transform_filter("datum.failed")
    return [
        alive.mark_line(strokeWidth=1.8, clip=True).encode(x=x, y=y, color=colour),
        alive.mark_circle(size=60, opacity=1, clip=True).encode(x=x, y=y, color=colour, tooltip=tooltip),
        failed.mark_point(shape="cross", angle=45, size=60, yOffset=7, clip=True).encode(
            x=x, y=y, color=colour, tooltip=without_loss
        ),
    ]


def _marks(answer: FindAnswer, x: alt.X, y: alt.Y, bottom: float, top: float) -> list[alt.Chart]:
    """Rules at the recommended rate and at the one in use."""
    marks = []
    if answer.lr.ok:
        marks.append((answer.lr.require(), f"recommended {rate_text(answer.lr.require(), 2)}", RECOMMENDED, []))
    if answer.yours:
        marks.append((answer.yours.lr, f"yours {rate_text(answer.yours.lr)}", INK, [5, 3]))
    layers = []
    for i, (lr, text, colour, dash) in enumerate(marks):
        row = rows_of([{"lr": lr, "loss": bottom, "top": top, "text": text}])
        layers.append(row.mark_rule(color=colour, strokeDash=dash, clip=True).encode(x=x, y=y, y2=alt.Y2("top:Q")))
        for style in HALO_THEN_INK:
            look = {"align": "left", "dx": 5, "dy": 14 + 17 * i, "fontSize": 12.5, "fontWeight": "bold", "color": colour}
            layers.append(
                row.mark_text(**{**look, **style}, clip=True).encode(x=x, y=alt.YValue(0), text=alt.Text("text:N"))
            )
    return layers or [rows_of([{"lr": 1.0}]).mark_rule(color=AXIS, opacity=0).encode(x=x)]
