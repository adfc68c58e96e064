"""The pictures: shares, the objective after the fork, A and B against the rate, and losses on straight lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import altair as alt

from etastar.core.estimate import Estimate
from etastar.reports.chart_parts import AXIS, framed, rows_of
from etastar.reports.parts import SectionText
from etastar.studies.charts import SERIES_COLOURS, DataPoint, LogLog, loglog_chart
from etastar.studies.network_stability.arms import ALL, CONST, FACTORS
from etastar.studies.network_stability.gains import TENS, Gains
from etastar.studies.network_stability.measure import ENDS

SHOWN = (ALL, "late decayed", "early decayed", "late frozen noisy", "early frozen noisy", "late settled, high again")
"""Arms in the picture of the objective."""

SECTIONS = (
    SectionText(
        "What wins how much of the gain of decaying everything?",
        "All arms are measured on the batches of const, which goes on at the high rate. Right of 0: better than const.",
        {
            "shares": "Bars: Fieller's 90 % intervals over seeds. The averages are of const's weights: no rate was lowered.",
            "objective": "Mean over seeds, ten steps a point. What settles and gets the high rate again loses its gain.",
        },
    ),
    SectionText(
        "How do activations and loss signals change in a step?",
        "A is the relative change of a block's output over one step, B that of the loss signal at it.",
        {"rates": "Lines of slope 1 and 1/2: a ReLU that switches changes B by a step, and as many switch as A is large."},
    ),
    SectionText(
        "Where do the weights lie?",
        "The loss on fixed samples without noise, along straight lines between the weights at the ends of the arms.",
        {"lines": "Mean over seeds. Without a bump between decayed and averaged weights, both lie in one valley."},
    ),
)


def charts(gains: Gains, numbers: Sequence[tuple[str, Estimate, str]]) -> dict[str, Any]:
    """Those that there are rows for."""
    made = {
        "shares": _shares(numbers),
        "objective": _objective(gains),
        "rates": _rates(gains),
        "lines": _lines(gains),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def _shares(numbers: Sequence[tuple[str, Estimate, str]]) -> Any:
    shown = [
        {"name": name.removeprefix("share, "), "share": e.value, "low": e.low, "high": e.high}
        for name, e, _ in numbers
        if name.startswith("share, ") and e.ok
    ]
    if not shown:
        return None
    rows, order = rows_of(shown), [row["name"] for row in shown]
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=240))
    x = alt.X("share:Q", title="share of the gain of decaying everything", axis=alt.Axis(format=".1f"))
    zero = rows_of([{"x": 0.0}, {"x": 1.0}]).mark_rule(color=AXIS, strokeDash=[5, 4]).encode(x="x:Q")
    bars = rows.mark_rule(strokeWidth=2, color=SERIES_COLOURS[0]).encode(y=y, x=alt.X("low:Q"), x2="high:Q")
    dots = rows.mark_point(filled=True, size=70, opacity=1, color=SERIES_COLOURS[0]).encode(
        y=y, x=x, tooltip=["name:N", alt.Tooltip("share:Q", format=".2f")]
    )
    return framed([zero, bars, dots], "What wins how much of it", height=24 * len(shown) + 20)


def _objective(gains: Gains) -> Any:
    points = []
    for arm in SHOWN:
        seeds = gains.seeds(CONST, arm)
        for ten in range(gains.sizes.arm // TENS if seeds else 0):
            off = fmean(gains.rows[s, arm]["objective"][ten] - gains.rows[s, CONST]["objective"][ten] for s in seeds)
            points.append({"step": TENS * ten + TENS / 2, "objective": off, "arm": arm})
    if not points:
        return None
    arms = list(dict.fromkeys(p["arm"] for p in points))
    scale = alt.Scale(domain=arms, range=list(SERIES_COLOURS[: len(arms)]))
    lines = (
        rows_of(points)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="steps after the fork"),
            y=alt.Y("objective:Q", title="objective minus const's"),
            color=alt.Color("arm:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=3)),
            tooltip=["arm:N", "step:Q", alt.Tooltip("objective:Q", format=".4f")],
        )
    )
    zero = rows_of([{"y": 0.0}]).mark_rule(color=AXIS).encode(y="y:Q")
    return framed([zero, lines], "The objective after the fork", height=320)


def _rates(gains: Gains) -> Any:
    panels = []
    for letter, words in (("A", "change of activations in a step"), ("B", "change of loss signals in a step")):
        marks: list[DataPoint] = []
        for factor in FACTORS:
            arm = f"rate x{factor:g}"
            looks = [look for s in gains.seeds(arm) for look in gains.rows[s, arm]["looks"] if look["k"] == 1]
            for block in _spread(list(looks[0][letter])) if looks else ():
                values = [look[letter][block] for look in looks if look[letter][block]]
                if values:
                    mean = math.exp(fmean(map(math.log, values)))
                    marks.append(DataPoint(factor, mean, block, f"{block}, rate x{factor:g}"))
        if marks:
            panels.append(LogLog(letter, "rate / high rate", words, marks))
    return loglog_chart(panels, "A and B against the rate", "each block over one step, mean over seeds") if panels else None


def _spread(blocks: list[str]) -> list[str]:
    """As many as there are colours, from the first to the last."""
    most = min(len(SERIES_COLOURS), len(blocks))
    return [blocks[round(i * (len(blocks) - 1) / max(most - 1, 1))] for i in range(most)]


def _lines(gains: Gains) -> Any:
    seeds, points = gains.seeds(ENDS), []
    for pair in gains.rows[seeds[0], ENDS]["lines"] if seeds else ():
        losses = [gains.rows[s, ENDS]["lines"][pair] for s in seeds]
        last = len(losses[0]) - 1
        points += [{"at": i / last, "loss": fmean(own[i] for own in losses), "line": pair} for i in range(last + 1)]
    if not points:
        return None
    mark = (
        rows_of(points)
        .mark_line(point=True)
        .encode(
            x=alt.X("at:Q", title="place on the straight line"),
            y=alt.Y("loss:Q", title="loss on fixed samples", scale=alt.Scale(zero=False)),
            color=alt.Color("line:N", legend=alt.Legend(title=None, orient="bottom")),
            tooltip=["line:N", "at:Q", alt.Tooltip("loss:Q", format=".4f")],
        )
    )
    return framed([mark], "Losses on straight lines between the ends", height=280)
