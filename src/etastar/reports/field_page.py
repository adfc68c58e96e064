"""A field on a terminal and on a page: every example's loss then and now, how long they are related, whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.verbs.field import FieldAnswer, RateField

COLOURS = "#0b62b0", "#2a9d6f"
"""Of the problem's rate, and of the lower one."""
DRAWN = 4
"""Moments whose moves are drawn, evenly among all: a row of small squares."""
LEAST = 1e-4
"""Losses are drawn from here on; those of examples that are learnt by heart go to 0."""


def field_tables(answer: FieldAnswer) -> list[Table]:
    """A row a moment, the rates side by side."""
    rates = answer.rates
    head = ("steps", *(f"{what}, {own.lr:.3g}" for what in ("moved", "cosine", "agreement") for own in rates))
    rows = []
    for moments in zip(*(own.moments for own in rates), strict=True):
        values = [f"{getattr(m, what):.3g}" for what in ("moved", "turned", "agreement") for m in moments]
        rows.append((f"{moments[0].step:,}", *values))
    return [Table("", head, tuple(rows))]


def field_notes(answer: FieldAnswer) -> list[str]:
    """What the columns are."""
    return [
        f"{answer.examples} examples, followed from step {answer.before:,} on; moved: mean |loss - loss then|; cosine: of "
        "an example's gradient and its gradient then, the median; agreement: of two examples' gradients, the mean"
    ]


def field_cost(answer: FieldAnswer) -> list[str]:
    """What was trained for it."""
    cost = answer.cost
    return [
        f"{answer.optimizer}; {cost['gradient_steps']:,.0f} gradient steps, {cost['look_steps']:,.0f} more in gradients of "
        f"single examples, {answer.seconds:.1f} s, seed {answer.seed}"
    ]


def field_page(answer: FieldAnswer) -> Page:
    """All of it, drawn."""
    cards = [
        Card(
            f"Memory at {own.lr:.3g}",
            f"{own.memory:.3g} steps" if own.memory is not None else f"> {own.moments[-1].step:,} steps",
            "",
            "until examples' losses have moved by 63 % of how far they ever move",
            colour,
        )
        for own, colour in zip(answer.rates, COLOURS, strict=True)
    ]
    text = (
        f"{answer.examples} training examples, each by itself, after {answer.before:,} steps at {answer.rates[0].lr:.3g} "
        "and from there on at two rates on the same batches. The distribution of losses hardly differs between them; how "
        "long an example keeps its loss does."
    )
    captions = {
        "moves": "A point is an example: its loss at the fork and its loss some steps later. On the line nothing has "
        "changed. BatchNorm has the statistics of all of them.",
        "memory": "Above, how far losses have moved since the fork: where it stays level the field has forgotten itself. "
        "Below, the median cosine of an example's gradient and its gradient at the fork.",
    }
    return Page(
        kind="Field",
        title=answer.problem,
        summary=answer.summary,
        numbers=cards,
        sections=[SectionText("What does a rate do to single examples?", text, captions)],
        tables=field_tables(answer),
        charts={"moves": _moves(answer), "memory": memory_chart(answer.rates, answer.problem)},
    )


def _moves(answer: FieldAnswer) -> Any:
    import altair as alt

    from etastar.reports.chart_parts import AXIS, in_style, rows_of

    count = len(answer.rates[0].moments)
    shown = sorted({round(1 + i * (count - 2) / (DRAWN - 1)) for i in range(DRAWN)}) if count > 2 else [count - 1]
    start = answer.rates[0].moments[0].losses
    rows = [
        {"then": max(then, LEAST), "now": max(now, LEAST), "lr": f"{own.lr:.3g}", "after": _after(own.moments[k].step)}
        for own in answer.rates
        for k in shown
        for then, now in zip(start, own.moments[k].losses, strict=True)
    ]
    values = [row[key] for row in rows for key in ("then", "now")]
    scale = alt.Scale(type="log", domain=[min(values) / 1.5, max(values) * 1.5], nice=False)
    names, axis = [f"{own.lr:.3g}" for own in answer.rates], alt.Axis(grid=False, tickCount=3, format="~g")
    x = alt.X("then:Q", title="loss at the fork", scale=scale, axis=axis)
    y = alt.Y("now:Q", title="loss now", scale=scale, axis=axis)
    colour = alt.Color("lr:N", scale=alt.Scale(domain=names, range=list(COLOURS)), legend=None)
    data = rows_of(rows)
    points = data.mark_circle(size=18, opacity=0.6).encode(x=x, y=y, color=colour)
    line = data.mark_line(color=AXIS, strokeDash=[4, 3]).encode(x=x, y=alt.Y("then:Q", scale=scale))
    order = [_after(answer.rates[0].moments[k].step) for k in shown]
    chart = alt.layer(line, points).properties(width=150, height=150)
    facets = chart.facet(
        column=alt.Column("after:N", sort=order, title=None, header=alt.Header(labelFontSize=12)),
        row=alt.Row("lr:N", sort=names, title=None, header=alt.Header(labelFontSize=12, labelExpr="'rate ' + datum.value")),
    )
    return in_style(facets, f"{answer.problem}: every example's loss, then and now")


def _after(steps: int) -> str:
    return f"after {steps:,} steps" if steps > 1 else "after one step"


def memory_chart(rates: Sequence[RateField], title: str) -> Any:
    """How far losses have moved since the fork, and the cosine of gradients, a line a rate."""
    import altair as alt

    from etastar.reports.chart_parts import WIDTH, in_style, rows_of

    rows = [
        {"steps": m.step, "lr": f"{own.lr:.3g}", "moved": m.moved, "turned": m.turned}
        for own in rates
        for m in own.moments
        if m.step
    ]
    names = [f"{own.lr:.3g}" for own in rates]
    colour = alt.Color("lr:N", title="rate", scale=alt.Scale(domain=names, range=list(COLOURS)))
    ticks = sorted({row["steps"] for row in rows})
    axis = alt.Axis(grid=False, format="~s", values=ticks)
    x = alt.X("steps:Q", title="steps since the fork", scale=alt.Scale(type="log", nice=False), axis=axis)
    panels = []
    for name, title in (("moved", "mean move of a loss"), ("turned", "cosine of gradients")):
        y = alt.Y(f"{name}:Q", title=title, axis=alt.Axis(format="~g", tickCount=5))
        line = rows_of(rows).mark_line(point=True, strokeWidth=2).encode(x=x, y=y, color=colour)
        panels.append(line.properties(width=WIDTH - 120, height=150))
    return in_style(alt.vconcat(*panels), f"{title}: how long examples are what they were")
