"""The ideal rate over a training, on a terminal and on a page: what each form is worth, and the rate over the steps."""

from __future__ import annotations

import math
from typing import Any

from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.verbs.psi.fit_psi import PsiAnswer

COLOUR, OTHER = "#0b62b0", "#9a5b00"
PARTS = 60
"""Points of a drawn curve."""


def psi_tables(answer: PsiAnswer) -> list[Table]:
    """The forms, best first, and the ideal rate over the steps."""
    head = ("form", "final loss / linear's", "90 %", "median", "won / tied / lost", "off by, decades")
    forms = [
        (
            j.form,
            _number(j.ratio.value),
            _interval(j),
            f"{j.median:.3f}",
            f"{j.won} / {j.tied} / {j.lost}",
            f"{j.decades:.2f}",
        )
        for j in answer.forms
    ]
    head_of_shares = ("share of the steps", "ideal rate / peak", "quartiles", "the form", "states at an end")
    shares = [
        (f"{a.s:.2f}", f"{a.median:.2f}", f"{a.low:.2f} .. {a.high:.2f}", f"{a.form:.2f}", f"{a.at_an_end} of {a.states}")
        for a in answer.shares
    ]
    return [
        Table(
            "fresh runs at the peak of linear decay, tasks of groups that the form was not fitted to:", head, tuple(forms)
        ),
        Table("what the experiments say:", head_of_shares, tuple(shares)),
    ]


def psi_notes(answer: PsiAnswer) -> list[str]:
    """The best form in full, and what was left out."""
    if answer.closed_form is None:
        return []
    best = answer.forms[0]
    lines = [f"{best.form}: rate / peak = {best.formula}", f"schedule: {answer.closed_form.policy()!r}"]
    return lines + [f"left out: {task}: {reason}" for task, reason in answer.left_out.items()]


def psi_page(answer: PsiAnswer) -> Page:
    """All of it, drawn."""
    tasks = [(t.task, t.group, f"{t.peak:.3g}", f"{t.ratio:.3f}") for t in answer.tasks]
    ratio, forms = answer.ratio, {j.form: j for j in answer.forms}
    blind, seeing = forms.get("trapezoid"), forms.get("trapezoid-of-loss")
    cards = [
        Card("Final loss / linear decay's", _number(ratio.value), _interval(answer.forms[0]), "at the same peak", COLOUR)
    ]
    if blind and seeing:
        worth = f"trapezoid {_number(blind.ratio.value)} without, {_number(seeing.ratio.value)} with the loss"
        cards.append(Card("What seeing the loss adds", f"{_of(seeing) / _of(blind):.3f}", "", worth, OTHER))
    text = (
        "From states of training, reached in four ways, lanes went on at a quarter to four times the rate of linear decay "
        "for a tenth of the steps, and then down the same way; where an end was the best, at 16 times, too. The points are "
        "the best of those rates: medians over states, bars from quartile to quartile."
    )
    return Page(
        kind="The ideal rate over a training",
        title=answer.problem,
        summary=answer.summary,
        numbers=cards if answer.closed_form else (),
        sections=[SectionText("Which rate was the best, when?", text, {"ideal": "Ideal rate / peak of linear decay."})],
        tables=[*psi_tables(answer), Table("Tasks", ("task", "group", "peak", "best form / linear"), tuple(tasks))],
        charts={"ideal": _chart(answer)} if answer.closed_form else {},
        no_answer=None if ratio.ok else {"status": ratio.status.value, "reason": ratio.reason, "bound": ""},
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _of(judged: Any) -> float:
    return judged.ratio.value or math.nan


def _interval(judged: Any) -> str:
    return f"{_number(judged.ratio.low)} .. {_number(judged.ratio.high)}"


def _chart(answer: PsiAnswer) -> Any:
    import altair as alt

    from etastar.reports.chart_parts import framed, rows_of

    assert answer.closed_form is not None
    x = alt.X("s:Q", title="share of the steps that is over", axis=alt.Axis(format="~g", grid=False))
    y = alt.Y("rate:Q", title="rate / peak", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g"))
    places = [i / PARTS * 0.99 for i in range(PARTS + 1)]
    own = [{"s": s, "rate": answer.closed_form.predict(s).value, "of": answer.closed_form.form} for s in places]
    linear = [{"s": s, "rate": 1 - s, "of": "linear decay"} for s in places]
    states = [{"s": a.s, "rate": a.median, "low": a.low, "high": a.high} for a in answer.shares]
    colour = alt.Color("of:N", title=None, scale=alt.Scale(range=[COLOUR, OTHER]))
    layers = [
        rows_of([*own, *linear]).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        rows_of(states).mark_rule(color="#444").encode(x=x, y=alt.Y("low:Q", title="rate / peak"), y2="high:Q"),
        rows_of(states).mark_point(color="#444", filled=True, size=50).encode(x=x, y=y, tooltip=[alt.Tooltip("rate:Q")]),
    ]
    return framed(layers, f"The ideal rate over {answer.steps:,} steps", height=320)
