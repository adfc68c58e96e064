"""The trained network of the ideal rate, on a terminal and on a page: what it is worth at which peak, and its evolutions."""

from __future__ import annotations

from typing import Any

from etastar.core.estimate import Estimate
from etastar.policies.psi_network import NUMBERS
from etastar.reports.parts import Card, Page, SectionText, Table
from etastar.verbs.psi.judging import AtPeak
from etastar.verbs.psi.train_psi import PsiNetworkAnswer

COLOUR, OTHER = "#0b62b0", "#9a5b00"
BESIDE = {
    ("network", "shipped"): "/ as shipped",
    ("network", "tuned"): "/ tuned linear",
    ("closed form", "linear"): "closed form / linear",
}
"""Further pairs in the short table."""


def psi_network_tables(answer: PsiNetworkAnswer) -> list[Table]:
    """What it is worth, peak by peak, and what else is there."""
    found = {(j.steps, j.peak, j.arm, j.against): j for j in answer.judged}
    head = ("steps", "peak", "network / linear", "90 %", "median", "won / tied / lost", *BESIDE.values())
    rows = []
    for j in answer.judged:
        if (j.arm, j.against) == ("network", "linear"):
            others = (found.get((j.steps, j.peak, *pair)) for pair in BESIDE)
            beside = (_number(own.ratio.value) if own else "" for own in others)
            rows.append((f"{j.steps:,}", j.peak, *_worth(j), *beside))
    title = "final losses of fresh runs on groups that the numbers have not seen, at peaks tuned for linear decay, or wrong:"
    return [Table(title, head, tuple(rows))]


def _every_pair(answer: PsiNetworkAnswer) -> Table:
    head = ("steps", "peak", "arm", "against", "final loss / its", "90 %", "median", "won / tied / lost")
    rows = [(f"{j.steps:,}", j.peak, j.arm, j.against, *_worth(j)) for j in answer.judged]
    return Table("every pair of arms:", head, tuple(rows))


def _worth(own: AtPeak) -> tuple[str, ...]:
    return _number(own.ratio.value), _interval(own.ratio), f"{own.median:.3f}", f"{own.won} / {own.tied} / {own.lost}"


def psi_network_notes(answer: PsiNetworkAnswer) -> list[str]:
    """Where the numbers are, and how they are used."""
    if not answer.numbers:
        return []
    where = "" if answer.weights is None else f"in {answer.weights}: --schedule psi-network:weights={answer.weights}"
    return [f"numbers: {', '.join(f'{v:g}' for v in answer.numbers)}", *filter(None, [where])]


def psi_network_page(answer: PsiNetworkAnswer) -> Page:
    """All of it, drawn."""
    ratio, harm = answer.ratio, answer.harm
    cards = [
        Card("At twice the peak", _number(ratio.value), _interval(ratio), "final loss / linear decay's there", COLOUR),
        Card("At the tuned peak", _number(harm.value), _interval(harm), "above 1 is harm", OTHER),
        Card("Against the shipped", "better" if answer.better else "not better", "", "at twice the peak, 90 %", COLOUR),
    ]
    text = (
        "Each network was evolved on the final losses of whole trainings at wrong peaks, without the groups of tasks on "
        "which it is driven here: fresh seeds, and data kept for the end. Below 1 the network ends lower than what it is "
        "held against, at the same peak; 'tuned' is linear decay at its own."
    )
    stops = (
        "A group that an evolution does not learn from stops it: the numbers are those of its lowest look. Costs are in "
        "units of what a peak wrong by a factor of four costs; 0 is linear decay at its tuned peak."
    )
    sections = [
        SectionText("What is it worth, at which peak?", text, {"peaks": "Final loss / the reference's: 90 % intervals."}),
        SectionText(
            "What did the evolutions find?", stops, {"looks": "Cost on the group that stops, over the generations."}
        ),
    ]
    return Page(
        kind="A network of the ideal rate",
        title=answer.problem,
        summary=answer.summary,
        numbers=cards if ratio.ok else (),
        sections=sections if ratio.ok else (),
        tables=[*psi_network_tables(answer), _folds(answer), _every_pair(answer)],
        charts={"peaks": _peaks(answer), "looks": _looks(answer)} if ratio.ok else {},
        no_answer=None if ratio.ok else {"status": ratio.status.value, "reason": ratio.reason, "bound": ""},
    )


def _folds(answer: PsiNetworkAnswer) -> Table:
    named = {**answer.folds, "nothing (the numbers)": answer.numbers}
    rows = [(name, *(f"{v:g}" for v in numbers)) for name, numbers in named.items() if numbers]
    return Table("numbers by what they have not seen:", ("not seen", *NUMBERS), tuple(rows))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(ratio: Estimate) -> str:
    return f"{_number(ratio.low)} .. {_number(ratio.high)}"


def _peaks(answer: PsiNetworkAnswer) -> Any:
    import altair as alt

    from etastar.reports.chart_parts import around, framed, rows_of

    rows = [
        {
            "peak": j.peak,
            "against": j.against,
            "ratio": j.ratio.value,
            "low": j.ratio.low,
            "high": j.ratio.high,
            "steps": f"{j.steps:,}",
        }
        for j in answer.judged
        if (j.steps, j.arm) == (answer.steps, "network")
    ]
    order = list(dict.fromkeys(row["peak"] for row in rows))
    x = alt.X("peak:N", title="peak", sort=order, axis=alt.Axis(labelAngle=0))
    offset = alt.XOffset("against:N", sort=list(dict.fromkeys(row["against"] for row in rows)))
    ends = around([end for row in rows for end in (row["low"], row["high"], 1.0)], margin=0.02)
    y = alt.Y(
        "low:Q", title="final loss / its", scale=alt.Scale(type="log", domain=ends, nice=False), axis=alt.Axis(format="~g")
    )
    colour = alt.Color("against:N", title="against", scale=alt.Scale(range=["#0b62b0", "#9a5b00", "#1b7a3d", "#7b3fa0"]))
    layers = [
        rows_of([{"one": 1.0}])
        .mark_rule(color="#444", strokeDash=[4, 4])
        .encode(y=alt.Y("one:Q", title="final loss / its")),
        rows_of(rows).mark_rule(strokeWidth=2).encode(x=x, xOffset=offset, y=y, y2="high:Q", color=colour),
        rows_of(rows)
        .mark_point(filled=True, size=60)
        .encode(x=x, xOffset=offset, y=alt.Y("ratio:Q"), color=colour, tooltip=["peak:N", "against:N", "ratio:Q"]),
    ]
    return framed(layers, f"The network over {answer.steps:,} steps", height=320)


def _looks(answer: PsiNetworkAnswer) -> Any:
    import altair as alt

    from etastar.reports.chart_parts import in_style, rows_of

    rows = [
        {"generation": o.generation + 1, "held_out": o.held_out, "stopped by": o.stopped_by, "learnt": o.learnt}
        for o in answer.looks
    ]
    x = alt.X("generation:Q", title="generations", axis=alt.Axis(grid=False, tickMinStep=1))
    y = alt.Y("held_out:Q", title="cost on the group that stops")
    colour = alt.Color("stopped by:N", title="stopped by")
    chart = rows_of(rows).mark_line(point=True).encode(x=x, y=y, color=colour).properties(width=330, height=160)
    parts = chart.facet(facet=alt.Facet("learnt:N", title=None), columns=2)
    return in_style(parts, "Evolutions, at the group that stops each")
