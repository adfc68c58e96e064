"""The charts of an answer, one function each. Nothing is fitted here: the curve and its interval are in the answer."""

from __future__ import annotations

import math
from itertools import pairwise

import altair as alt

from etastar.core.lane import Criterion, LaneStatus, Runs
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.reports.best_chart import best_chart
from etastar.reports.chart_parts import ENDINGS, HALO_THEN_INK, INK, around, framed, rate_axis, rate_tooltip, rows_of
from etastar.reports.loss_rows import CAP, LossRows, loss_rows
from etastar.reports.rate_text import LABEL_EXPRESSION
from etastar.reports.share_chart import marks_of, share_chart
from etastar.verbs.find.find_answer import FindAnswer

FLANK = (0.04, 0.96)
"""The close-up shows the rates where the fitted share is between these fractions of its own fall."""
SHAPES = {
    LaneStatus.TRAINED: "circle",
    LaneStatus.SLOW: "square",
    LaneStatus.DEAD: "diamond",
    LaneStatus.DIVERGED: "triangle-up",
    LaneStatus.RAISED: "cross",
}


def success_chart(answer: FindAnswer, band: SuccessBand) -> alt.LayerChart:
    """Share of lanes that train against the rate, over the whole range searched."""
    return share_chart(
        answer, band, _searched(answer, band), f"{answer.problem}: which learning rates {_doing(answer, band)}"
    )


def edge_chart(answer: FindAnswer, band: SuccessBand) -> alt.LayerChart:
    """The same, close to eta*: the flank where lanes cease to train."""
    least, most = min(c.p for c in band.curve), max(c.p for c in band.curve)
    lrs = [c.lr for c in band.curve if FLANK[0] * (most - least) <= c.p - least <= FLANK[1] * (most - least)]
    lrs += [x for x in (band.eta_star.low, band.eta_star.high) if x is not None]
    return share_chart(answer, band, around(lrs, 0.15), f"{answer.problem}: the upper edge, close up")


def endings_chart(answer: FindAnswer, band: SuccessBand) -> alt.LayerChart:
    """How the lanes of the scan ended, stacked at each rate."""
    counts: dict[float, dict[LaneStatus, int]] = {}
    for outcome in band.runs[: band.scan_runs]:
        at_rate = counts.setdefault(outcome.lane.lr, dict.fromkeys(ENDINGS, 0))
        at_rate[outcome.status] += 1
    lrs = sorted(counts)
    half = 0.36 * min((math.log10(b / a) for a, b in pairwise(lrs)), default=0.5)
    rows = []
    for lr in lrs:
        top = 0
        for status, n in counts[lr].items():
            bar = {"left": lr * 10**-half, "right": lr * 10**half, "bottom": top, "top": top + n}
            rows += [{"lr": lr, "ended": status.value, "lanes": n, **bar}] if n else []
            top += n
    most = max(row["top"] for row in rows)
    ticks = list(range(0, most + 1, max(1, most // 4)))
    bars = rows_of(rows).mark_rect(clip=True, stroke="white")
    bars = bars.encode(
        x=rate_axis("left:Q", _searched(answer, band)),
        x2=alt.X2("right:Q"),
        y=alt.Y(
            "bottom:Q",
            title="lanes",
            scale=alt.Scale(domain=[0, most]),
            axis=alt.Axis(values=ticks, format="d", minExtent=44),
        ),
        y2=alt.Y2("top:Q"),
        color=alt.Color(
            "ended:N",
            scale=alt.Scale(domain=[e.value for e in ENDINGS], range=list(ENDINGS.values())),
        ),
        tooltip=[rate_tooltip(), alt.Tooltip("ended:N"), alt.Tooltip("lanes:Q")],
    )
    return framed([bars], f"{answer.problem}: how the lanes of the scan ended", height=90)


def loss_chart(answer: FindAnswer, band: SuccessBand) -> alt.LayerChart | None:
    """The lanes of a band: see `curves_chart`."""
    return curves_chart(answer.problem, band.runs, band.steps, band.criterion)


def curves_chart(problem: str, lanes: Runs, steps: int, criterion: Criterion) -> alt.LayerChart | None:
    """Loss against step, one line a lane, coloured by its rate; None when no lane starts with a finite loss.

    A click on an ending in the legend leaves only those lanes.
    """
    rows = loss_rows(lanes)
    if rows is None:
        return None
    scale = _loss_scale(rows)
    x = alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(domain=[0, max(steps, 1)], nice=False),
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=10),
    )
    y = alt.Y(
        "loss:Q", title="training loss", scale=scale, axis=alt.Axis(labelExpr=LABEL_EXPRESSION, minExtent=44, grid=False)
    )
    gradient = alt.SchemeParams("viridis", extent=[0.0, 0.93])  # its last, palest yellow is lost on white
    colour = alt.Color(
        "lr:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=around([row["lr"] for row in rows.ends], 1e-3), scheme=gradient),
        legend=alt.Legend(labelExpr=LABEL_EXPRESSION, values=_legend_rates([row["lr"] for row in rows.ends])),
    )
    shape = alt.Shape(
        "status:N",
        title="ended (click)",
        scale=alt.Scale(domain=[s.value for s in SHAPES], range=list(SHAPES.values())),
    )
    ending = alt.selection_point(name="ending", fields=["status"], bind="legend")
    opacity = alt.when(ending).then(alt.value(0.75)).otherwise(alt.value(0.05))
    tooltip = [
        rate_tooltip(),
        alt.Tooltip("status:N", title="ended"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("loss:Q", format=".4~g"),
    ]
    lines = rows_of(rows.points).mark_line(clip=True, strokeWidth=1.2)
    ends = rows_of(rows.ends).mark_point(size=36, filled=True)
    layers = [
        lines.encode(x=x, y=y, detail=alt.Detail("lane:N"), color=colour, opacity=opacity, tooltip=tooltip),
        ends.encode(x=x, y=y, color=colour, shape=shape, opacity=opacity, tooltip=tooltip).add_params(ending),
        *_bound_layers(rows, criterion, scale),
    ]
    note = f"losses above {CAP:g} x the loss of knowing nothing lie on the top edge" if rows.clipped else ""
    return framed(layers, f"{problem}: loss of every lane", height=320, note=note)


def charts(answer: FindAnswer) -> dict[str, alt.LayerChart]:
    """name -> chart, in reading order: those the answer has data for."""
    found: dict[str, alt.LayerChart] = {}
    best = best_chart(answer)
    if best is not None:
        found["best"] = best
    for band, suffix in ((answer.band, ""), (answer.end, "-end")):
        if band is None or not band.rates:
            continue
        found[f"success-band{suffix}"] = success_chart(answer, band)
        if band.curve:
            found[f"edge{suffix}"] = edge_chart(answer, band)
        found[f"endings{suffix}"] = endings_chart(answer, band)
        losses = loss_chart(answer, band)
        if losses is not None:
            found[f"losses{suffix}"] = losses
    return found


def _doing(answer: FindAnswer, band: SuccessBand) -> str:
    return "start to train" if band is answer.band else "still train at the end"


def _searched(answer: FindAnswer, band: SuccessBand) -> list[float]:
    """Domain of the charts of the whole range; one for all of them, so that they can be read one below the other."""
    return around([*(r.lr for r in band.rates), *(mark.lr for mark in marks_of(answer, band))])


def _legend_rates(lrs: list[float]) -> list[float]:
    """Round rates within the range of `lrs`: 1 and 3 of each decade, or the powers of ten alone if there are many."""
    low, high = min(lrs), max(lrs)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1,) if len(decades) > 5 else (1, 3)
    within = [m * 10.0**k for k in decades for m in digits if low <= 1.01 * m * 10.0**k and m * 10.0**k <= 1.01 * high]
    return within or [low]


def _loss_scale(rows: LossRows) -> alt.Scale:
    """Logarithmic if every loss is positive; with a little room above and below."""
    low, high = rows.lowest, rows.highest
    if low > 0:
        room = max((high / low) ** 0.03, 1.05)
        return alt.Scale(type="log", domain=[low / room, high * room], nice=False)
    room = 0.03 * (high - low) or 1.0
    return alt.Scale(domain=[low - room, high + room], nice=False)


def _bound_layers(rows: LossRows, criterion: Criterion, scale: alt.Scale) -> list[alt.Chart]:
    """The loss a lane has to reach: one rule, or a strip where it differs from lane to lane."""
    if rows.bounds is None or rows.bounds[0] > rows.highest:
        return []
    low, high = rows.bounds[0], min(rows.bounds[1], rows.highest)
    accuracy = "" if criterion.accuracy is None else f" (and accuracy {criterion.accuracy:.4g})"
    bound = rows_of([{"low": low, "high": high, "text": f"loss a lane has to reach{accuracy}"}])
    place = alt.Y("high:Q", scale=scale)
    layers = [
        bound.mark_rect(color=INK, opacity=0.1, clip=True).encode(y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q")),
        bound.mark_rule(color=INK, strokeDash=[5, 3], clip=True).encode(y=place),
    ]
    for style in HALO_THEN_INK:
        look = {"align": "right", "dx": -4, "dy": -8, "fontSize": 12, "color": INK, "clip": True, **style}
        layers.append(bound.mark_text(**look).encode(x=alt.XValue("width"), y=place, text=alt.Text("text:N")))
    return layers
