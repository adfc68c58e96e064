"""The charts of the study: the ideal rate over a training, and what each answer is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from etastar.core.estimate import Estimate
from etastar.laws.psi.closed_form import FEWEST, ClosedForm
from etastar.studies.psi.arms import ARMS
from etastar.studies.psi.driven import ratio_of
from etastar.studies.psi.recorded import Experiments
from etastar.studies.psi.tables import wanted
from etastar.studies.psi.unknown_horizon import KNOWN, pooled
from etastar.studies.record import Row

COLOURS = {"L1": "#c8372d", "L2": "#c2570c", "L3": "#0b62b0", "L4": "#2a9d6f", "conditional": "#7b3fa0", "": "#5b6770"}
"""Way -> its colour."""
PARTS = 60
"""Points of a drawn curve."""


def charts_of(known: Experiments, driven: Sequence[Row], unknown: Sequence[Row]) -> dict[str, Any]:
    """Those that the rows carry."""
    found: dict[str, Any] = {}
    if len(known.ideals) >= FEWEST:
        found["ideal"] = ideal_chart(known)
    if driven:
        ways = {arm.name: arm.way for arm in ARMS}
        found["driven"] = ratio_chart(ways, lambda arm: ratio_of(driven, arm).mean(), "Final loss / linear decay's")
    if unknown:
        ways = dict.fromkeys((arm for arm in unknown[0]["losses"] if arm != KNOWN), "")
        title = "Final loss / that of linear decay, which knows the horizon"
        found["unknown"] = ratio_chart(ways, lambda arm: pooled(unknown, arm, KNOWN).mean(), title)
    return found


def ideal_chart(known: Experiments) -> Any:
    """Quartiles of the ideal rates over the steps, the greedy ones, the trapezoid and linear decay."""
    import altair as alt

    from etastar.reports.chart_parts import framed, rows_of

    law = ClosedForm.fit(known.ideals)
    lines = [
        {"s": s, "rate": rate, "of": name}
        for s in (i / PARTS * 0.98 for i in range(PARTS + 1))
        for name, rate in (("trapezoid", law.predict(s).require()), ("linear decay", 1 - s))
    ]
    by_share: dict[float, list[float]] = {}
    for ideal in known.ideals:
        by_share.setdefault(ideal.s, []).append(ideal.log_factor)
    points = [
        dict(zip(("low", "rate", "high"), map(math.exp, np.quantile(own, [0.25, 0.5, 0.75])), strict=True), s=s)
        for s, own in by_share.items()
    ]
    greedy = [{"s": s, "rate": math.exp(float(np.median([g for _, g in own])))} for s, own in wanted(known).items()]
    x = alt.X("s:Q", title="share of the steps that is over", axis=alt.Axis(format="~g", grid=False))
    title = "rate / peak of linear decay"
    y = alt.Y("rate:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=10), axis=alt.Axis(format="~g"))
    colour = alt.Color("of:N", title=None, scale=alt.Scale(range=[COLOURS[""], COLOURS["L3"]]))
    layers = [
        rows_of(lines).mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        rows_of(points).mark_rule(color="#444").encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q"),
        rows_of(points).mark_point(color="#444", filled=True, size=50).encode(x=x, y=y, tooltip=[alt.Tooltip("rate:Q")]),
        rows_of(greedy).mark_point(color=COLOURS["L1"], shape="cross", size=70).encode(x=x, y=y),
    ]
    return framed(layers, "The ideal rate over a training", height=320, note="crosses: what the next tenth alone wants")


def ratio_chart(ways: Mapping[str, str], of: Callable[[str], Estimate], title: str) -> Any:
    """One line an arm: ratio and interval, on a log axis."""
    import altair as alt

    from etastar.reports.chart_parts import AXIS, framed, rows_of

    rows = [
        {"arm": arm, "way": way or "unknown", "ratio": e.value, "low": e.low, "high": e.high}
        for arm, way in ways.items()
        if (e := of(arm)).ok
    ]
    names = [row["arm"] for row in rows]
    x = alt.X("ratio:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~g"))
    y = alt.Y("arm:N", title=None, sort=names, axis=alt.Axis(labelLimit=220))
    domain = [way for way in COLOURS if way and way in ways.values()]
    colour = alt.Color("way:N", title=None, scale=alt.Scale(domain=domain, range=[COLOURS[way] for way in domain]))
    paint: dict[str, Any] = {"color": colour} if domain else {}
    look: dict[str, Any] = {} if domain else {"color": COLOURS["L3"]}
    layers = [
        rows_of([{"ratio": 1.0}]).mark_rule(color=AXIS, strokeDash=[4, 4]).encode(x=x),
        rows_of(rows).mark_rule(strokeWidth=2, **look).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, **paint),
        rows_of(rows)
        .mark_point(filled=True, size=60, opacity=1, **look)
        .encode(x=x, y=y, tooltip=["arm:N", alt.Tooltip("ratio:Q", format=".3f")], **paint),
    ]
    return framed(layers, title, height=max(24 * len(rows), 120))
