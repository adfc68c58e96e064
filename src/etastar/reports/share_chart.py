"""Share of lanes that train against the learning rate: what was counted, what was fitted, and the rates that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from etastar.core.estimate import Estimate
from etastar.core.lane import LaneStatus
from etastar.designs.eta_star.success_band import RateCount, SuccessBand
from etastar.reports.chart_parts import AXIS, ENDINGS, HALO_THEN_INK, INK, framed, rate_axis, rate_tooltip, rows_of
from etastar.reports.rate_text import rate_text
from etastar.verbs.find.find_answer import FindAnswer

ETA_STAR, RECOMMENDED = "#0b62b0", "#7b3fa0"
LOWEST_LABEL, LABEL_STEP = 1.18, 0.1
"""Heights of the labels above the curve, in units of the share."""
RUG = (0.05, 0.025)
"""How far beyond 0 and 1 lanes that ran alone at their rate are drawn, and the step by which neighbours are staggered."""


@dataclass(frozen=True)
class Mark:
    """A rate worth a vertical rule."""

    lr: float
    text: str
    colour: str
    dash: tuple[int, ...] = ()


def marks_of(answer: FindAnswer, band: SuccessBand) -> list[Mark]:
    """The rates that matter for `band`, lowest first."""
    name = "eta*" if band is answer.band else "eta*_end"
    marks = []
    if band.eta_star.value is not None:
        marks.append(Mark(band.eta_star.value, f"{name} {_with_interval(band.eta_star)}", ETA_STAR))
    if answer.lr.value is not None:
        marks.append(Mark(answer.lr.value, f"recommended {rate_text(answer.lr.value, 2)}", RECOMMENDED))
    if answer.yours is not None:
        marks.append(Mark(answer.yours.lr, f"yours {rate_text(answer.yours.lr)}", INK, (5, 3)))
    return sorted(marks, key=lambda mark: mark.lr)


def share_chart(answer: FindAnswer, band: SuccessBand, domain: Sequence[float], title: str) -> alt.LayerChart:
    """Counts with Wilson intervals, lanes alone at their rate as a rug, the fitted curve, and rules at `marks_of`.

    Drag moves the axis of rates, shift + wheel zooms it (a bare wheel scrolls the page).
    """
    marks = [mark for mark in marks_of(answer, band) if domain[0] <= mark.lr <= domain[1]]
    x = rate_axis("lr:Q", domain)
    scale = alt.Scale(domain=[-0.16, LOWEST_LABEL + LABEL_STEP * len(marks)], nice=False)
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%", minExtent=44)
    y = alt.Y("p:Q", title="share of lanes that train", scale=scale, axis=axis)
    layers = [
        *_interval_layer(band.eta_star, x),
        *_curve_layers(band, x, y),
        *_count_layers(band, x, y),
        *_alone_layer(band, x, y),
        *_mark_layers(marks, domain, x, y),
    ]
    zoom = alt.selection_interval(name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]")
    layers[-1] = layers[-1].add_params(zoom)
    return framed(layers, title, height=300)


def _with_interval(estimate: Estimate) -> str:
    low, value, high = (rate_text(v) for v in (estimate.low, estimate.value, estimate.high) if v is not None)
    return f"{value} [{low}, {high}]"


def _interval_layer(eta_star: Estimate, x: alt.X) -> list[alt.Chart]:
    if eta_star.value is None:
        return []
    row = rows_of([{"lr": eta_star.low, "high": eta_star.high, "p": 0, "top": 1}])
    return [
        row.mark_rect(color=ETA_STAR, opacity=0.13, clip=True).encode(
            x=x, x2=alt.X2("high:Q"), y=alt.Y("p:Q"), y2=alt.Y2("top:Q")
        )
    ]


def _curve_layers(band: SuccessBand, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    if not band.curve:
        return []
    curve = rows_of({"lr": c.lr, "p": c.p, "low": c.low, "high": c.high} for c in band.curve)
    titles = {"p": "fitted share", "low": "at least", "high": "at most"}
    tooltip = [rate_tooltip(), *(alt.Tooltip(f"{key}:Q", format=".0%", title=text) for key, text in titles.items())]
    strip = curve.mark_area(color=ETA_STAR, opacity=0.18, clip=True).encode(
        x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), tooltip=tooltip
    )
    return [strip, curve.mark_line(color=ETA_STAR, strokeWidth=2, clip=True).encode(x=x, y=y, tooltip=tooltip)]


def _count_layers(band: SuccessBand, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Rates with two lanes or more: the share with its Wilson interval."""
    from scipy.stats import binomtest  # takes 0.6 s to import

    rows = []
    for r in band.rates:
        if r.runs >= 2:
            low, high = binomtest(r.trained, r.runs).proportion_ci(band.eta_star.level, method="wilson")
            counts = f"{r.trained} of {r.runs} trained"
            rows.append({"lr": r.lr, "p": r.trained / r.runs, "low": low, "high": high, "counts": counts})
    if not rows:
        return []
    points = rows_of(rows)
    tooltip = [rate_tooltip(), alt.Tooltip("counts:N", title="lanes")]
    bars = points.mark_rule(color=AXIS, clip=True).encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), tooltip=tooltip)
    dots = points.mark_circle(color=INK, size=55, opacity=1, clip=True).encode(x=x, y=y, tooltip=tooltip)
    return [bars, dots]


def _alone_layer(band: SuccessBand, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Rates with one lane: a dot beyond 0 or 1, coloured by how it ended, staggered so that neighbours stay apart."""
    rows = []
    for i, r in enumerate(r for r in band.rates if r.runs == 1):
        beyond = RUG[0] + RUG[1] * (i % 3)
        rows.append({"lr": r.lr, "p": 1 + beyond if r.trained else -beyond, "ended": _ending(r).value})
    if not rows:
        return []
    colour = alt.Color(
        "ended:N",
        title="one lane, ended",
        scale=alt.Scale(domain=[e.value for e in ENDINGS], range=list(ENDINGS.values())),
    )
    tooltip = [rate_tooltip(), alt.Tooltip("ended:N")]
    return [rows_of(rows).mark_circle(size=34, opacity=0.85, clip=True).encode(x=x, y=y, color=colour, tooltip=tooltip)]


def _ending(rate: RateCount) -> LaneStatus:
    """How the only lane at `rate` ended."""
    return next(status for status in ENDINGS if getattr(rate, status.value))


def _mark_layers(marks: Sequence[Mark], domain: Sequence[float], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """A rule up to its label; the highest rate has the highest label, so a label to the left of its rule crosses none."""
    layers: list[alt.Chart] = []
    labels: list[alt.Chart] = []
    left, right = math.log10(domain[0]), math.log10(domain[1])
    for i, mark in enumerate(marks):
        row = rows_of([{"lr": mark.lr, "bottom": 0, "p": LOWEST_LABEL + LABEL_STEP * i, "text": mark.text}])
        look = {"color": mark.colour, "strokeDash": list(mark.dash), "strokeWidth": 1.6}
        layers.append(row.mark_rule(clip=True, **look).encode(x=x, y=alt.Y("bottom:Q"), y2=alt.Y2("p:Q")))
        room_on_the_left = (math.log10(mark.lr) - left) / (right - left) > 0.35
        side = {"align": "right", "dx": -5} if room_on_the_left else {"align": "left", "dx": 5}
        for style in HALO_THEN_INK:
            text = {"color": mark.colour, "fontSize": 12.5, "fontWeight": "bold", "clip": True, **side, **style}
            labels.append(row.mark_text(**text).encode(x=x, y=y, text=alt.Text("text:N")))
    return layers + labels
