"""Policies against each other, on a terminal and on a page: what they end at, and how they get there."""

from __future__ import annotations

from typing import Any

from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.verbs.compare.compare_answer import REFERENCE, CompareAnswer, Compared

COLOUR = "#0b62b0"
HUES = ("#0b62b0", "#b4430a", "#1b7a3d", "#7b3fa0", "#8a6d00", "#c2185b", "#00757a", "#5d4037", "#37474f", "#6b8e23")
"""Dark enough to be read on white; from the eleventh policy on, lines are told apart by their dashes."""


def compare_tables(answer: CompareAnswer) -> list[Table]:
    """The end, and the way there."""
    rows = [_end(own) for own in answer.compared]
    head = ("policy", "against linear", "peak", answer.loss_name, "accuracy", "difference", "90 %", "p", "broke")
    way = [_way(own) for own in answer.compared]
    reached = "" if answer.target is None else f" {answer.target:.3g} after"
    head_of_way = ("policy", "loss at 1/4", "at 1/2", f"training loss{reached}", "peak / 4", "/ 2", "x 2", "x 4")
    return [
        Table(f"at its own peak, {answer.compared[0].seeds} fresh seeds, the same for all:", head, tuple(rows)),
        Table("on the way; and the loss at a wrong peak, one seed or two:", head_of_way, tuple(way)),
    ]


def compare_page(answer: CompareAnswer) -> Page:
    """All of it, drawn."""
    best = answer.best
    cards = []
    if best is not None:
        cards.append(
            Card(f"Lowest {answer.loss_name}", _number(best.loss), "", f"{best.name} at {_number(best.peak)}", COLOUR)
        )
        cards.append(_against(best, answer))
    text = (
        f"Every policy had {answer.budget} trainings of {answer.steps:,} steps at most, the search of its peak included. "
        "Curves are medians over the fresh seeds of the training loss, bands the quartiles; rates are those that were used."
    )
    captions = {
        "learning": "Training loss over the steps, each policy at its own peak.",
        "rates": "The rate over the steps: medians over seeds; of optimizers that find theirs, the factor they were given.",
        "ends": f"Final {answer.loss_name} against tuned linear decay, seed by seed: mean and 90 % interval.",
    }
    no_answer = {"status": answer.lr.status.value, "reason": answer.lr.reason, "bound": ""}
    return Page(
        kind="Comparison of policies",
        title=answer.problem,
        summary=answer.summary,
        numbers=cards,
        sections=[SectionText("Which policy, and how does it get there?", text, captions if best else {})],
        tables=[*compare_tables(answer), Table("The policies", (), tuple((c.name, c.policy) for c in answer.compared))],
        charts=_charts(answer) if best else {},
        no_answer=None if best else no_answer,
    )


def _against(best: Compared, answer: CompareAnswer) -> Card:
    """The best beside linear decay; where that is the best, what comes nearest beside it."""
    others = [own for own in answer.compared if own is not best and own.loss is not None]
    if best.verdict != REFERENCE or not others:
        return Card("Against tuned linear decay", best.verdict, _interval(best), "Difference of the loss.", COLOUR)
    next_best = min(others, key=lambda own: own.loss or 0.0)
    said = f"Its {answer.loss_name} minus {best.name}'s: {next_best.verdict}."
    return Card(f"Next, {next_best.name}", _gap(next_best), _interval(next_best), said, COLOUR)


def _end(own: Compared) -> tuple[str, ...]:
    accuracy = "" if own.accuracy is None else f"{100 * own.accuracy:.1f} %"
    p = "" if own.p_value is None else f"{own.p_value:.2g}"
    at_the_end = " (end of range)" if own.at_the_end else ""
    peak = f"{_number(own.peak)}{at_the_end}"
    return (
        own.name,
        own.verdict,
        peak,
        _number(own.loss),
        accuracy,
        _gap(own),
        _interval(own),
        p,
        f"{own.failures}/{own.seeds}",
    )


def _way(own: Compared) -> tuple[str, ...]:
    never = f" ({own.never} of {own.seeds} never)" if own.never else ""
    when = "never" if own.to_target is None else f"{own.to_target:,.0f}"
    wrong = (_number(w.loss) or "-" for w in own.wrong_peaks)
    return (own.name, _number(own.at_quarter), _number(own.at_half), when + (never if when != "never" else ""), *wrong)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _gap(own: Compared) -> str:
    return "" if own.difference.value is None else f"{own.difference.value:+.3g}"


def _interval(own: Compared) -> str:
    low, high = own.difference.low, own.difference.high
    return "" if low is None or high is None else f"{low:+.3g} .. {high:+.3g}"


def _charts(answer: CompareAnswer) -> dict[str, Any]:
    import altair as alt

    from etastar.reports.chart_parts import AXIS, framed, rows_of

    names = [own.name for own in answer.compared]
    hues = alt.Scale(domain=names, range=_hues(len(names)))
    colour = alt.Color("policy:N", title=None, sort=names, scale=hues)
    dash = alt.StrokeDash("policy:N", title=None, sort=names, scale=alt.Scale(domain=names, range=_dashes(len(names))))
    points = [
        {"policy": own.name, "step": p.step, "loss": p.loss, "low": p.low, "high": p.high, "lr": p.lr}
        for own in answer.compared
        for p in own.curve
    ]
    x = alt.X("step:Q", title="step", axis=alt.Axis(grid=False))
    positive = all(p["low"] > 0 for p in points)
    scale = alt.Scale(type="log" if positive else "linear", zero=False, nice=False)
    loss = lambda column: alt.Y(f"{column}:Q", title="training loss", scale=scale, axis=alt.Axis(format="~g"))
    band = rows_of(points).mark_area(opacity=0.15).encode(x=x, y=loss("low"), y2="high:Q", color=colour)
    line = rows_of(points).mark_line(strokeWidth=2).encode(x=x, y=loss("loss"), color=colour, strokeDash=dash)
    rate = alt.Y("lr:Q", title="learning rate", axis=alt.Axis(format="~g"))
    rates = rows_of(points).mark_line(strokeWidth=2).encode(x=x, y=rate, color=colour, strokeDash=dash)
    ends = [
        {"policy": c.name, "gap": c.difference.value, "low": c.difference.low, "high": c.difference.high}
        for c in answer.compared
        if c.difference.ok
    ]
    charts = {
        "learning": framed([band, line], f"{answer.problem}: learning curves", height=320),
        "rates": framed([rates], f"{answer.problem}: learning rates", height=240),
    }
    if ends:
        gap = alt.X("gap:Q", title=f"{answer.loss_name} minus tuned linear decay's", axis=alt.Axis(format="~g"))
        row = alt.Y("policy:N", title=None, sort=names)
        colour = colour.legend(None)  # the axis names them
        nought = rows_of([{"gap": 0.0}]).mark_rule(color=AXIS, strokeDash=[3, 3]).encode(x=gap)
        bars = rows_of(ends).mark_rule(strokeWidth=3).encode(x=alt.X("low:Q"), x2="high:Q", y=row, color=colour)
        dots = rows_of(ends).mark_point(filled=True, size=70).encode(x=gap, y=row, color=colour)
        charts["ends"] = framed([nought, bars, dots], f"{answer.problem}: the end", height=40 + 26 * len(ends))
    return charts


def _dashes(n: int) -> list[tuple[int, int]]:
    """Lines of the second ten, whose colours are those of the first, are broken, of the third dotted."""
    return [[(1, 0), (6, 3), (2, 2)][i // len(HUES) % 3] for i in range(n)]


def _hues(n: int) -> list[str]:
    return [HUES[i % len(HUES)] for i in range(n)]
