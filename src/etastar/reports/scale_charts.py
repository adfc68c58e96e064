"""The charts of a scaling law: measured and predicted rates, the laws' errors, muP beside it, the coordinate check."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np

from etastar.reports.chart_parts import FAINT, INK, WIDTH, framed, in_style, rows_of
from etastar.reports.rate_text import LABEL_EXPRESSION
from etastar.reports.share_chart import RECOMMENDED
from etastar.verbs.scale.scale_answer import MeasuredMember, ScaleAnswer
from etastar.verbs.scale.transfer import PARAMETRISATIONS, Transfer

SERIES = ("#0b62b0", "#c8372d", "#2a9d6f", "#e3a008", "#7a4fb5", "#8a94a0")
LINE_POINTS = 40
ROUTES = {"moved": "z - z₀", "by_weights": "(W - W₀) x", "by_inputs": "W₀ (x - x₀)"}
"""field of a `LayerMove` -> what the chart calls it."""


def scale_charts(answer: ScaleAnswer) -> dict[str, Any]:
    """name -> chart, in reading order."""
    found: dict[str, Any] = {}
    if answer.law.fits:
        found["law"] = _law_chart(answer)
        found["candidates"] = _candidates_chart(answer)
    if answer.transfer is not None:
        found["transfer"] = _transfer_chart(answer)
        if any(p.moves for p in answer.transfer.points):
            found["coordinates"] = _coordinate_chart(answer.problem, answer.transfer)
    return found


def _law_chart(answer: ScaleAnswer) -> Any:
    """Rates against the largest axis, a line of the chosen law per value of the others, the target with its interval."""
    axis = max(answer.target, key=lambda name: len({m.sizes[name] for m in answer.members} | {answer.target[name]}))
    axis = "width" if "width" in answer.target and len({m.sizes["width"] for m in answer.members}) > 1 else axis
    others = [name for name in answer.target if name != axis]
    label = lambda sizes: ", ".join(f"{name} {sizes[name]:g}" for name in others) or answer.quantity
    used = [m for m in answer.members if m.lr.ok]
    points = [_point(m, axis, label(m.sizes)) for m in used]
    target = _target(answer, axis, label(answer.target))
    names = sorted({p["series"] for p in points} | {label(answer.target)}, key=_by_numbers)
    scale = alt.Scale(domain=names, range=[SERIES[i % len(SERIES)] for i in range(len(names))])
    colour = alt.Color("series:N", scale=scale, title=None) if others else alt.value(SERIES[0])
    sizes = [p[axis] for p in points] + [answer.target[axis]]
    x = alt.X(f"{axis}:Q", title=axis, scale=_log(sizes, 0.08), axis=alt.Axis(grid=False, values=sorted(set(sizes))))
    rates = [v for p in [*points, *target] for v in (p["low"], p["high"]) if v > 0]
    y = alt.Y("lr:Q", title=answer.quantity, scale=_log(rates, 0.05), axis=alt.Axis(labelExpr=LABEL_EXPRESSION))
    tips = [alt.Tooltip("what:N"), *(alt.Tooltip(f"{f}:Q", format=".3~g") for f in ("lr", "low", "high"))]
    layers = [
        rows_of(_lines(answer, axis, names, sizes, label)).mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour),
        rows_of(points).mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        rows_of(points).mark_circle(size=70, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips),
    ]
    if target:
        layers += [
            rows_of(target)
            .mark_rule(strokeWidth=4, opacity=0.35, color=RECOMMENDED)
            .encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
            rows_of(target)
            .mark_point(size=130, filled=False, strokeWidth=2.5, color=RECOMMENDED)
            .encode(x=x, y=y, tooltip=tips),
        ]
    name = answer.law.chosen.candidate.name
    return framed(
        layers, f"{answer.problem}: {answer.quantity} over {axis}", height=340, note=f"lines: the chosen law, {name}"
    )


def _point(member: MeasuredMember, axis: str, series: str) -> dict[str, Any]:
    what = "left out" if member.left_out else "measured"
    return {
        axis: member.sizes[axis],
        "lr": member.lr.value,
        "low": member.lr.low,
        "high": member.lr.high,
        "series": series,
        "what": what,
    }


def _target(answer: ScaleAnswer, axis: str, series: str) -> list[dict[str, Any]]:
    if not answer.lr.ok:
        return []
    e = answer.lr
    return [{axis: answer.target[axis], "lr": e.value, "low": e.low, "high": e.high, "series": series, "what": "predicted"}]


def _lines(answer: ScaleAnswer, axis: str, names: list[str], sizes: list[float], label: Any) -> list[dict[str, Any]]:
    """The chosen law along the axis, for every combination of the other sizes."""
    fit = answer.law.chosen
    combinations = {label(s): s for s in [*(m.sizes for m in answer.members if m.lr.ok), answer.target]}
    rows = []
    for series in names:
        for x in np.geomspace(min(sizes), max(sizes), LINE_POINTS):
            at = {**combinations[series], axis: float(x)}
            rows.append({axis: float(x), "lr": fit.value(at), "series": series})
    return rows


def _candidates_chart(answer: ScaleAnswer) -> Any:
    """Leave-one-out errors of the laws, as the factor by which a left-out member was missed."""
    rows = [
        {"law": f.candidate.name, "factor": 10**f.loo, "chosen": i == 0, "formula": f.formula, "why": f.candidate.why}
        for i, f in enumerate(answer.law.fits)
        if math.isfinite(f.loo)
    ]
    order = alt.Y("law:N", sort=[r["law"] for r in rows], title=None, axis=alt.Axis(labelLimit=220))
    x = alt.X(
        "factor:Q",
        title="a left-out member is missed by a factor of",
        scale=alt.Scale(type="log", domainMin=1),
        axis=alt.Axis(grid=True),
    )
    colour = alt.condition("datum.chosen", alt.value(RECOMMENDED), alt.value("#9aa5b1"))
    tips = [alt.Tooltip("formula:N"), alt.Tooltip("why:N"), alt.Tooltip("factor:Q", format=".3~g")]
    bars = rows_of(rows).mark_circle(size=110, opacity=1).encode(x=x, y=order, color=colour, tooltip=tips)
    return framed([bars], f"{answer.problem}: which law?", height=28 * len(rows) + 20)


def _transfer_chart(answer: ScaleAnswer) -> Any:
    assert answer.transfer is not None
    found = answer.transfer
    rows = [
        {"width": p.width, "lr": p.lr.value, "low": p.lr.low, "high": p.lr.high, "parametrisation": p.parametrisation}
        for p in found.points
        if p.lr.ok
    ]
    if not rows:
        rows = [
            {"width": p.width, "lr": None, "low": None, "high": None, "parametrisation": p.parametrisation}
            for p in found.points
        ]
    widths = sorted({r["width"] for r in rows})
    rates = [v for r in rows for v in (r["low"], r["high"]) if v]
    x = alt.X("width:Q", scale=_log(widths, 0.05), axis=alt.Axis(grid=False, values=widths))
    y = alt.Y("lr:Q", title=found.quantity, scale=_log(rates or [1.0], 0.05), axis=alt.Axis(labelExpr=LABEL_EXPRESSION))
    scale = alt.Scale(domain=list(PARAMETRISATIONS), range=list(SERIES[:2]))
    colour = alt.Color("parametrisation:N", scale=scale, title=None)
    tips = [
        alt.Tooltip("parametrisation:N"),
        *(alt.Tooltip(f"{f}:Q", format=".3~g") for f in ("width", "lr", "low", "high")),
    ]
    base = rows_of(rows)
    layers = [
        base.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour),
        base.mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour),
        base.mark_circle(size=70, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips),
    ]
    depth = "" if found.depth is None else f", depth {found.depth:g}"
    return framed(
        layers, f"{answer.problem}: {found.quantity} over width{depth}", height=260, note="flat: the rate transfers"
    )


def _coordinate_chart(problem: str, found: Transfer) -> Any:
    """A panel per parametrisation and route, a line per layer."""
    rows = [
        {
            "width": p.width,
            "layer": f"layer {i + 1}",
            "parametrisation": p.parametrisation,
            "route": text,
            "rms": getattr(move, route),
        }
        for p in found.points
        for i, move in enumerate(p.moves)
        for route, text in ROUTES.items()
        if 0 < getattr(move, route) < math.inf
    ]
    layers = sorted({r["layer"] for r in rows}, key=_by_numbers)
    widths = sorted({r["width"] for r in rows})
    shades = [_shade(i / max(len(layers) - 1, 1)) for i in range(len(layers))]
    columns = []
    for name in PARAMETRISATIONS:
        for route in ROUTES.values():
            own = [r for r in rows if r["parametrisation"] == name and r["route"] == route]
            if not own:
                continue
            chart = rows_of(own).mark_line(point=alt.OverlayMarkDef(size=30), strokeWidth=1.5)
            x = alt.X("width:Q", scale=_log(widths, 0.05), axis=alt.Axis(grid=False, values=widths))
            y = alt.Y(
                "rms:Q",
                title="rms",
                scale=alt.Scale(type="log", domain=_span([r["rms"] for r in rows])),
                axis=alt.Axis(gridColor=FAINT, format=".0e", tickCount=4),
            )
            colour = alt.Color("layer:N", sort=layers, scale=alt.Scale(domain=layers, range=shades), title=None)
            tips = [alt.Tooltip("layer:N"), alt.Tooltip("width:Q"), alt.Tooltip("rms:Q", format=".3~g")]
            columns.append(
                chart.encode(x=x, y=y, color=colour, tooltip=tips).properties(
                    width=WIDTH // 3 - 75, height=170, title=alt.TitleParams(f"{name}: {route}", fontSize=12, color=INK)
                )
            )
    title = f"{problem}: what {found.check_steps} steps at rate {found.check_lr:.2g} change in every layer"
    return in_style(alt.concat(*columns, columns=3, spacing=14), title)


def _shade(t: float) -> str:
    """From light to dark blue."""
    a, b = (150, 200, 235), (8, 48, 107)
    return "#" + "".join(f"{round(x + (y - x) * t):02x}" for x, y in zip(a, b, strict=True))


def _span(values: list[float], margin: float = 0.05) -> list[float]:
    logs = [math.log10(v) for v in values]
    pad = margin * max(max(logs) - min(logs), 0.5)
    return [10 ** (min(logs) - pad), 10 ** (max(logs) + pad)]


def _log(values: list[float], margin: float) -> alt.Scale:
    return alt.Scale(type="log", domain=_span(values, margin), nice=False)


def _by_numbers(text: str) -> tuple[float, ...]:
    """Sort key: the numbers in a label."""
    found = []
    for word in text.replace(",", " ").split():
        try:
            found.append(float(word))
        except ValueError:
            continue
    return tuple(found)
