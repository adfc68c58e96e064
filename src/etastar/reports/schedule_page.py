"""A schedule on a terminal and on a page: its phases, the rate at chosen steps, and the rate over the steps drawn."""

from __future__ import annotations

from typing import Any

from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.verbs.schedule import ScheduleAnswer

MOST_PHASES = 12
"""Phases in a table; a cyclic schedule has hundreds alike."""
DRAWN = 2000
"""Steps drawn at most; more than the page has points across."""
COLOUR = "#0b62b0"


def schedule_tables(answer: ScheduleAnswer) -> list[Table]:
    """The phases, and the rates at chosen steps."""
    head = ("phase", "steps", "from", "to")
    phases = [(p.what, f"{p.first:,} .. {p.last:,}", f"{p.first_rate:.4g}", f"{p.last_rate:.4g}") for p in answer.phases]
    if len(phases) > MOST_PHASES:
        phases = [*phases[:MOST_PHASES], (f"{len(phases) - MOST_PHASES} more", "", "", "")]
    share = lambda rate: f"{rate / answer.of_lr:.4g}"
    points = [(f"{p.step:,}", f"{p.rate:.4g}", share(p.rate)) for p in answer.points]
    return [
        Table("", head, tuple(phases)),
        Table("the rate at chosen steps:", ("step", "rate", f"share of {answer.of_lr:g}"), tuple(points)),
    ]


def schedule_notes(answer: ScheduleAnswer) -> list[str]:
    """The sum, what it is worth, and the policy in full."""
    worth = f"{answer.constant_steps:.6g} steps at {answer.of_lr:g}"
    return [f"sum of the rates: {answer.sum_of_rates:.6g}, that of {worth}", f"policy: {answer.policy}"]


def schedule_page(answer: ScheduleAnswer) -> Page:
    """All of it, drawn."""
    text = f"{answer.steps:,} steps, {answer.of_lr:g} the lane's rate. Nothing was trained."
    worth = f"of {answer.steps:,}: so many steps at {answer.of_lr:g}, never changed, have rates of the same sum"
    return Page(
        kind="Schedule",
        title=answer.problem,
        summary=answer.summary,
        numbers=[
            Card("Largest rate", f"{max(answer.rates):.4g}", "", "", COLOUR),
            Card("Equivalent constant steps", f"{answer.constant_steps:.4g}", "", worth, COLOUR),
        ],
        sections=[SectionText("What happens to the rate?", text, {"rate": "The rate of every step; lines: new phases."})],
        tables=[*schedule_tables(answer), Table("The policy", (), (("in full", answer.policy),))],
        charts={"rate": _chart(answer)},
    )


def _chart(answer: ScheduleAnswer) -> Any:
    import altair as alt

    from etastar.reports.chart_parts import AXIS, framed, rows_of

    stride = -(-answer.steps // DRAWN)
    ends = {p.first for p in answer.phases} | {p.last for p in answer.phases} if len(answer.phases) <= MOST_PHASES else set()
    steps = sorted({*range(0, answer.steps, stride), answer.steps - 1, *ends})
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s", grid=False))
    tips = [alt.Tooltip("step:Q"), alt.Tooltip("rate:Q", format=".4~g")]
    line = rows_of({"step": t, "rate": answer.rates[t]} for t in steps).mark_line(
        color=COLOUR, strokeWidth=2, interpolate="step-after"
    )
    changes = rows_of({"step": t} for t in sorted(ends)).mark_rule(color=AXIS, strokeDash=[3, 3])
    layers = [changes.encode(x=x)] if ends else []
    layers.append(line.encode(x=x, y=alt.Y("rate:Q", title="learning rate", axis=alt.Axis(format="~g")), tooltip=tips))
    return framed(layers, f"{answer.problem} over {answer.steps:,} steps", height=300)
