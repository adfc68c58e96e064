"""The page of a prediction: the ladder of rates on one axis, and what each rung is worth in words."""

from __future__ import annotations

from typing import Any

import altair as alt

from etastar.reports.chart_parts import INK, WIDTH, in_style
from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import rate_text
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED
from etastar.verbs.predict.predict import PredictAnswer
from etastar.verbs.predict.predictions import Prediction

COLOURS = {"safe start": RECOMMENDED, "one step": "#52606d", "contrast": "#9aa5b1", "eta*, expected": ETA_STAR, "yours": INK}
ROLE_NAMES = {"safe-start": "safe start", "one-step-limit": "one step", "contrast": "contrast"}


def predict_charts(answer: PredictAnswer) -> dict[str, Any]:
    """name -> chart: every rate of the ladder with its interval, beside the rate in use and the expected eta*."""
    rows = [
        {"rung": r.name, "lr": r.lr.value, "low": r.lr.low, "high": r.lr.high, "what": ROLE_NAMES[r.role]}
        for r in answer.rungs
        if r.lr.value is not None
    ]
    if not rows:
        return {}
    e = answer.eta_star
    if e.value is not None:
        rows.append({"rung": "eta*, expected", "lr": e.value, "low": e.low, "high": e.high, "what": "eta*, expected"})
    if answer.yours is not None:
        lr = answer.yours.lr
        rows.append({"rung": "yours", "lr": lr, "low": lr, "high": lr, "what": "yours"})
    names = [row["rung"] for row in rows]
    present = [name for name in COLOURS if any(row["what"] == name for row in rows)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("rung:N", sort=names, title=None),
        color=alt.Color("what:N", title=None, scale=alt.Scale(domain=present, range=[COLOURS[name] for name in present])),
        tooltip=[alt.Tooltip("rung:N"), alt.Tooltip("lr:Q", format=".3g"), alt.Tooltip("what:N")],
    )
    axis = alt.X("low:Q", scale=alt.Scale(type="log"), title="learning rate", axis=alt.Axis(format="~g"))
    chart = alt.layer(
        base.mark_rule(strokeWidth=3, opacity=0.45).encode(x=axis, x2=alt.X2("high:Q")),
        base.mark_point(filled=True, size=90, opacity=1).encode(x=alt.X("lr:Q", scale=alt.Scale(type="log"))),
    ).properties(width=WIDTH - 140, height=26 * len(rows))
    return {"ladder": in_style(chart, f"{answer.problem}: what is known of the rate before training")}


def predict_numbers(answer: PredictAnswer) -> list[Card]:
    """The start, the expected eta* and the rate in use."""
    found = []
    if answer.lr.value is not None:
        text = f"A safe start, not the best rate: {answer.start}."
        found.append(Card("Start from", rate_text(answer.lr.value, 2), "", text, RECOMMENDED))
    e = answer.eta_star
    if e.value is not None and e.low is not None and e.high is not None:
        interval = f"{rate_text(e.low, 2)} .. {rate_text(e.high, 2)} ({e.level:.0%} of the networks measured)"
        found.append(
            Card("eta*, expected", rate_text(e.value, 2), interval, f"Expected, not measured: {e.method}.", ETA_STAR)
        )
    if answer.yours is not None:
        found.append(Card("Yours", rate_text(answer.yours.lr), "", answer.yours.sentence, INK))
    return found


def predict_sections(answer: PredictAnswer) -> list[SectionText]:
    """The questions the figures answer."""
    check = f" Check: {answer.threshold.sentence}." if answer.threshold else ""
    caption = "Dots: rates; bars: their intervals. Error bounds of what was measured are too small to be seen."
    return [SectionText("What is known before training?", f"Nothing was trained.{check}", {"ladder": caption})]


def predict_tables(answer: PredictAnswer) -> list[Table]:
    """One row per rung, also those that do not apply, and how it was measured."""
    measured = (
        ("loss", answer.loss),
        ("optimizer", answer.optimizer),
        ("parameters", f"{answer.parameters:,}"),
        ("samples", f"{answer.samples:,}"),
        ("seed", str(answer.seed)),
        ("seconds", f"{answer.seconds:.1f}"),
    )
    head = ("rung", "rate", "interval", "what it is", "when it holds")
    return [Table("Every rung", head, tuple(map(_row, answer.rungs))), Table("How it was measured", (), measured)]


def _row(rung: Prediction) -> tuple[str, ...]:
    e = rung.lr
    if e.value is None or e.low is None or e.high is None:
        return rung.name, "-", "-", e.reason, rung.validity
    return rung.name, rate_text(e.value), f"{e.low:.3g} .. {e.high:.3g}", rung.says, rung.validity
