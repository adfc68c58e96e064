"""Panels of final loss, reliability and time against the learning rate, and what they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import altair as alt

from etastar.designs.surface.surface_cells import Cell
from etastar.laws.law import Record
from etastar.laws.surface import PredictedLoss
from etastar.reports.chart_parts import AXIS, ENDINGS, INK, WIDTH, around, in_style, rate_axis, rate_tooltip, rows_of
from etastar.reports.rate_text import LABEL_EXPRESSION

COLOURS = ("#0b62b0", "#c2570c", "#2a8a62", "#8b3fa0", "#a0741a", "#5b6770", "#b3264f", "#177e89")
DIVERGED = next(colour for status, colour in ENDINGS.items() if status.value == "diverged")
GAP = 16
DODGE = 0.035
"""Decades between the marks of neighbouring series at the same rate."""


@dataclass(frozen=True)
class Series:
    """One line of a panel.

    Args:
        name, colour: of the legend.
        cells: lowest rate first.
        records: one per lane.
        curve: the law's, if there is one.
        plateau: rates close to the best.
        best: the best rate, if it is known.
    """

    name: str
    colour: str
    cells: Sequence[Cell]
    records: Sequence[Record]
    curve: Sequence[PredictedLoss] = ()
    plateau: tuple[float, float] | None = None
    best: float | None = None


@dataclass(frozen=True)
class Panel:
    """Series drawn over each other, under a title."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Frame:
    """What the panels of a page share: the axis of rates, the axis of losses."""

    rates: Sequence[float]
    losses: alt.Scale
    top: float
    soonest: float

    def x(self, width: int, title: str = "learning rate") -> alt.X:
        """The axis of rates, with as many labels as a panel of this width has room for."""
        most = max(6, width // 90)
        return rate_axis("lr:Q", self.rates, round_values(self.rates[0], self.rates[-1], most)).title(title)

    def y(self, title: str) -> alt.Y:
        """The axis of losses."""
        low, high = self.losses.domain
        values = round_values(low, high) if self.losses.type == "log" else alt.Undefined
        axis = alt.Axis(labelExpr=LABEL_EXPRESSION, minExtent=44, tickCount=5, values=values)
        return alt.Y("loss:Q", title=title, scale=self.losses, axis=axis)


def round_values(low: float, high: float, most: int = 6) -> list[float]:
    """1 and 3 of each decade between `low` and `high`, or powers of ten, `most` at most.

    >>> round_values(0.02, 4.0)
    [0.03, 0.1, 0.3, 1.0, 3.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits, every in (((1, 3), 1), ((1,), 1), *(((1,), n) for n in range(2, 200))):
        found = [float(f"{m}e{k}") for k in decades if k % every == 0 for m in digits]
        found = [x for x in found if low <= x <= high]
        if len(found) <= most:
            return found
    return []


def frame_of(panels: Sequence[Panel]) -> Frame:
    """Axes that hold every panel: losses logarithmic if all are positive; lanes that diverged lie on the upper end."""
    every = [s for p in panels for s in p.series]
    rates = around([c.lr for s in every for c in s.cells], 0.15)
    losses = [r.loss for s in every for r in s.records if math.isfinite(r.loss)] or [1.0]
    low, high = min(losses), max(losses)
    soonest = min((r.time for s in every for r in s.records if r.time is not None), default=1)
    if low > 0:
        room = max((high / low) ** 0.05, 1.1)
        return Frame(
            rates, alt.Scale(type="log", domain=[low / room, high * room], nice=False, clamp=True), high * room, soonest
        )
    room = 0.05 * (high - low) or 1.0
    return Frame(rates, alt.Scale(domain=[low - room, high + room], nice=False, clamp=True), high + room, soonest)


def loss_panel(
    panel: Panel,
    frame: Frame,
    y_title: str,
    *,
    width: int,
    height: int,
    legend: bool = False,
    x_title: str = "learning rate",
) -> alt.LayerChart:
    """Final loss: a dot per lane, a ring per median, the law's curve and band, the plateau as a bar at the foot."""
    x = frame.x(width, x_title)
    y = frame.y(y_title)
    layers: list[alt.Chart] = []
    for s in panel.series:
        layers += _law_layers(s, frame, x, y)
        seeds = [{"lr": r.lr, "loss": r.loss, "seed": i} for i, r in enumerate(s.records) if math.isfinite(r.loss)]
        gone = [r for r in s.records if not math.isfinite(r.loss)]
        lost = [{"lr": r.lr, "loss": frame.top, "ended": "raised" if r.status == "raised" else "diverged"} for r in gone]
        middle = [{"lr": c.lr, "loss": c.loss, "n": c.n} for c in s.cells if c.loss is not None]
        tooltip = [rate_tooltip(), alt.Tooltip("loss:Q", format=".3~g")]
        if lost:
            cross = rows_of(lost).mark_point(shape="triangle-up", size=42, filled=True, color=DIVERGED, opacity=0.8)
            layers.append(cross.encode(x=x, y=y, tooltip=[rate_tooltip(), "ended:N"]))
        if not s.curve and len(middle) > 1:
            layers.append(rows_of(middle).mark_line(color=s.colour, strokeWidth=1.6).encode(x=x, y=y))
        if seeds:
            layers.append(
                rows_of(seeds).mark_circle(size=14, color=s.colour, opacity=0.45).encode(x=x, y=y, tooltip=tooltip)
            )
        if middle:
            ring = rows_of(middle).mark_point(
                size=34, filled=True, fill="white", stroke=s.colour, strokeWidth=1.6, opacity=1
            )
            layers.append(ring.encode(x=x, y=y, tooltip=[*tooltip, alt.Tooltip("n:Q", title="seeds")]))
    if legend:
        names = [{"series": s.name, "lr": s.cells[0].lr, "loss": frame.top} for s in panel.series]
        layers.append(rows_of(names).mark_circle(size=0).encode(x=x, y=y, color=_colour(panel)))
    return alt.LayerChart(layer=[*layers]).properties(width=width, height=height, title=_heading(panel.title))


def _law_layers(s: Series, frame: Frame, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    layers: list[alt.Chart] = []
    if s.curve:
        curve = rows_of({"lr": p.lr, "loss": p.loss, "low": p.low, "high": p.high} for p in s.curve)
        band = y.copy()
        band.shorthand = "low:Q"
        layers.append(curve.mark_area(color=s.colour, opacity=0.17, clip=True).encode(x=x, y=band, y2=alt.Y2("high:Q")))
        layers.append(curve.mark_line(color=s.colour, strokeWidth=1.6, clip=True).encode(x=x, y=y))
    if s.plateau is not None:
        foot = rows_of([{"lr": s.plateau[0] / 1.02, "to": s.plateau[1] * 1.02}])
        layers.append(
            foot.mark_rule(color=s.colour, strokeWidth=7, opacity=0.9).encode(x=x, x2=alt.X2("to:Q"), y=alt.YValue("height"))
        )
    if s.best is not None:
        rule = rows_of([{"lr": s.best}]).mark_rule(color=s.colour, strokeDash=[4, 3], strokeWidth=1)
        layers.append(rule.encode(x=x))
    return layers


def over_each_other(
    panels: Sequence[Panel], title: str, panel: Callable[[Panel, bool, int], alt.LayerChart], note: str = ""
) -> alt.HConcatChart:
    """Panels side by side, their series over each other, with one legend."""
    row = beside(panels, panel)
    return in_style(row, title, note)


def beside(panels: Sequence[Panel], draw: Callable[[Panel, bool, int], alt.LayerChart]) -> alt.HConcatChart:
    """Panels side by side: `draw` gets each, whether it is the first, and its width."""
    width = max((WIDTH - 40 - GAP * len(panels)) // max(len(panels), 1), 120)
    return alt.hconcat(*(draw(p, i == 0, width) for i, p in enumerate(panels)), spacing=GAP)


def reliability_panel(panel: Panel, frame: Frame, *, first: bool, width: int) -> alt.LayerChart:
    """Share of seeds that train, with its Wilson interval; series are moved apart a little."""
    rows = []
    for i, s in enumerate(panel.series):
        shift = 10 ** (DODGE * (i - (len(panel.series) - 1) / 2))
        for c in s.cells:
            counts = f"{c.trained} of {c.n} train"
            place = {"lr": c.lr * shift, "rate": c.lr, "p": c.reliability, "counts": counts}
            rows.append({**place, "low": c.reliability_low, "high": c.reliability_high, "series": s.name})
    x = frame.x(width)
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], minExtent=44)
    y = alt.Y("p:Q", title="share of seeds that train" if first else "", scale=alt.Scale(domain=[-0.02, 1.02]), axis=axis)
    tooltip = [alt.Tooltip("rate:Q", title="learning rate", format=".3~g"), "series:N", "counts:N"]
    base = rows_of(rows)
    colour = _colour(panel)
    bars = base.mark_rule(strokeWidth=1.4, opacity=0.6).encode(
        x=x, y=y.copy(), y2=alt.Y2("high:Q"), color=colour, tooltip=tooltip
    )
    bars.encoding.y.shorthand = "low:Q"  # type: ignore[union-attr]
    line = base.mark_line(strokeWidth=1.2, opacity=0.7).encode(x=x, y=y, color=colour)
    dots = base.mark_circle(size=44, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip)
    return alt.LayerChart(layer=[bars, line, dots]).properties(width=width, height=180, title=_heading(panel.title))


def time_panel(panel: Panel, frame: Frame, longest: int, *, first: bool, width: int) -> alt.LayerChart:
    """Steps to the target: a dot per lane, a line through the medians; triangles on top: lanes that never reach it."""
    seeds, medians = [], []
    never = longest * 1.25
    for i, s in enumerate(panel.series):
        shift = 10 ** (DODGE * (i - (len(panel.series) - 1) / 2))
        for r in s.records:
            reached = r.time is not None
            place = {"lr": r.lr * shift, "rate": r.lr, "time": r.time if reached else never, "series": s.name}
            seeds.append({**place, "reached": "reached" if reached else "not reached"})
        medians += [{"lr": c.lr * shift, "time": c.time, "series": s.name} for c in s.cells if c.time is not None]
    lowest = frame.soonest
    scale = alt.Scale(type="log", domain=[lowest / 1.2, never * 1.06], nice=False)
    x = frame.x(width)
    values = [m * 10.0**k for k in range(7) for m in (1, 2, 5) if lowest / 1.2 <= m * 10.0**k <= longest]
    y = alt.Y(
        "time:Q",
        title="steps to the target loss" if first else "",
        scale=scale,
        axis=alt.Axis(values=values, format="~s", minExtent=44),
    )
    shape = alt.Shape(
        "reached:N",
        scale=alt.Scale(domain=["reached", "not reached"], range=["circle", "triangle-up"]),
        legend=alt.Legend(title=None, orient="bottom"),
    )
    colour = _colour(panel)
    tooltip = [alt.Tooltip("rate:Q", title="learning rate", format=".3~g"), "series:N", "time:Q", "reached:N"]
    marks = rows_of(seeds).mark_point(size=28, filled=True, opacity=0.6)
    layers = [marks.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)]
    if medians:
        layers.insert(0, rows_of(medians).mark_line(strokeWidth=1.6).encode(x=x, y=y, color=colour))
    edge = rows_of([{"time": longest * 1.1}]).mark_rule(color=AXIS, strokeDash=[2, 2]).encode(y=y)
    return alt.LayerChart(layer=[edge, *layers]).properties(width=width, height=200, title=_heading(panel.title))


def time_chart(panels: Sequence[Panel], frame: Frame, problem: str, target: float, longest: int) -> alt.HConcatChart:
    """Time to the target loss of all panels."""
    return over_each_other(
        panels,
        f"{problem}: steps to a training loss of {target:g}",
        lambda p, first, width: time_panel(p, frame, longest, first=first, width=width),
        "triangles above the dotted line: lanes that do not reach it",
    )


def _heading(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, fontSize=12, fontWeight="normal", color=INK, anchor="start", offset=4)


def _colour(panel: Panel) -> alt.Color:
    names, colours = [s.name for s in panel.series], [s.colour for s in panel.series]
    legend = alt.Legend(title=None, orient="bottom") if len(names) > 1 else None
    return alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend)


def series_of(cells: Iterable[Cell], records: Sequence[Record], name: str, index: int) -> Series:
    """A series without a law."""
    return Series(name, COLOURS[index % len(COLOURS)], tuple(cells), records)
