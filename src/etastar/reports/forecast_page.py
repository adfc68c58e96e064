"""The page of a forecast: measured losses, expected curves with their intervals, and the rates they belong to."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from etastar.reports.chart_parts import INK, WIDTH, in_style
from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.reports.terminal.forecast import forecast_cost, forecast_notes, forecast_tables
from etastar.verbs.forecast.forecast_answer import ForecastAnswer

POINTS = 300
"""Measured losses or rates of a run that are drawn."""
COLOURS = ("#2f6fab", "#d1495b", "#2a9d6f", "#8b4fb3")
SMALL = 0.05
"""Steps before this share of the longest curve are not drawn: first losses would flatten all that is asked about."""


def forecast_page(answer: ForecastAnswer) -> Page:
    """What was asked, drawn and in words."""
    ends = [a for a in answer.answers if a.end.ok]
    title = lambda a: a.question.replace("-", " ").capitalize()
    numbers = [
        Card(title(a), f"{a.end.value:.4g}", f"{a.end.low:.4g} .. {a.end.high:.4g}", a.words, colour)
        for a, colour in zip(answer.answers, COLOURS, strict=False)
        if a.end.ok
    ]
    captions = {"losses": "Dots: measured. Lines: expected, with the 90 % interval of a single loss.", "rates": "The rates."}
    sections = [SectionText("Which loss to expect?", " ".join(forecast_cost(answer)), captions)] if answer.answers else []
    notes = Table(
        "What was read, and what is missing", (), tuple((f"{i}", note) for i, note in enumerate(forecast_notes(answer), 1))
    )
    reason = next((a.end.reason for a in answer.answers if not a.end.ok), "nothing was answered")
    return Page(
        kind="Forecast of losses",
        title=answer.problem,
        summary=answer.summary,
        numbers=numbers,
        sections=sections,
        tables=[*forecast_tables(answer), notes],
        charts=forecast_charts(answer) if answer.answers else {},
        no_answer=None if ends or answer.checks else {"status": "no-answer", "reason": reason, "bound": ""},
    )


def forecast_charts(answer: ForecastAnswer) -> dict[str, Any]:
    """name -> chart: losses, measured and expected; rates."""
    least = SMALL * max(len(a.rates) for a in answer.answers)
    names = [a.question for a in answer.answers]
    colour = alt.Color("curve:N", title=None, scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)])))
    x = alt.X("step:Q", title="updates")
    measured = [
        {"step": int(c.steps[i]), "loss": float(c.losses[i]), "curve": c.name}
        for c in answer.curves
        for i in _thinned(len(c.steps))
        if c.steps[i] >= least
    ]
    expected = [
        {"step": int(step), "loss": e.value, "low": e.low, "high": e.high, "curve": a.question}
        for a in answer.answers
        for step, e in zip(a.curve.steps, a.curve, strict=True)
        if e.ok and step >= least
    ]
    y = lambda name: alt.Y(f"{name}:Q", title="loss", scale=alt.Scale(zero=False))
    dots = (
        alt.Chart(alt.Data(values=measured))
        .mark_point(size=12, filled=True, color=INK, opacity=0.5)
        .encode(x=x, y=y("loss"))
    )
    base = alt.Chart(alt.Data(values=expected)).encode(x=x, color=colour)
    band = base.mark_area(opacity=0.15).encode(y=y("low"), y2=alt.Y2("high:Q"))
    line = base.mark_line(strokeWidth=2).encode(y=y("loss"))
    losses = alt.layer(dots, band, line).properties(width=WIDTH, height=320)
    rates = [
        {"step": int(i) + 1, "lr": float(a.rates[i]), "curve": a.question}
        for a in answer.answers
        for i in _thinned(len(a.rates))
    ]
    of_rates = alt.Chart(alt.Data(values=rates)).mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("lr:Q", title="learning rate", axis=alt.Axis(format="~g")), color=colour
    )  # fmt: skip
    return {
        "losses": in_style(losses, f"{answer.problem}: losses measured and expected"),
        "rates": in_style(of_rates.properties(width=WIDTH, height=160), "Learning rates asked about"),
    }


def _thinned(n: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, POINTS)).round().astype(int)).tolist()
