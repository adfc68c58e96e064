"""What monitors read of one lane, as lines over its steps: a small chart a monitor, a line a block of the model."""

from __future__ import annotations

from typing import Any

import altair as alt

from etastar.core.lane import Outcome
from etastar.core.monitor import Monitor
from etastar.probes.monitors.drawn import Drawn
from etastar.reports.chart_parts import AXIS, FAINT, HALO_THEN_INK, INK, WIDTH, framed, rows_of
from etastar.reports.monitor_rows import drawable
from etastar.reports.panels import round_values
from etastar.reports.parts import SectionText
from etastar.reports.rate_text import LABEL_EXPRESSION, rate_text

LEGEND = 12
"""Blocks that a legend names; of more, it names so many, evenly spread."""
LOG_FROM = 30.0
"""Largest over smallest value from which an axis is logarithmic."""
PALE, DARK = (150, 200, 235), (8, 48, 107)
"""Colours of the first block and of the last, as RGB."""


def monitor_charts(problem: str, watched: Outcome | None) -> dict[str, Any]:
    """name -> chart, in the order of the lane's monitors; those without a value are left out."""
    found = {}
    for monitor, drawn, rows in drawable(watched):
        found[_name(monitor, drawn)] = line_chart(f"{problem}: {drawn.title}", drawn, rows)
    return found


def monitor_section(watched: Outcome | None) -> list[SectionText]:
    """What the charts are of, and how each is read."""
    captions = {_name(monitor, drawn): drawn.caption for monitor, drawn, _ in drawable(watched)}
    if watched is None or not captions:
        return []
    text = (
        f"One lane of all {watched.lane.steps:,} steps at {rate_text(watched.lane.lr)} ({watched.status.value}), read on "
        "its first batch as it went."
    )
    return [SectionText("What happens while it trains?", text, captions)]


def _name(monitor: Monitor, drawn: Drawn) -> str:
    """That of the monitor; of what is drawn besides its first, with the quantity."""
    kinds = [kind for kind in getattr(monitor, "drawn", ()) if not kind.instead]
    return f"monitor-{monitor.name}" + (f"-{drawn.quantity}" if drawn in kinds[1:] else "")


def line_chart(title: str, drawn: Drawn, rows: list[dict[str, Any]]) -> Any:
    """Rows of step, block and value as lines, a shade a block."""
    blocks = list(dict.fromkeys(row["block"] for row in rows))
    values = [row["value"] for row in rows] + ([drawn.mark] if drawn.mark is not None else [])
    log = min(values) > 0 and max(values) > LOG_FROM * min(values)
    domain = [min(values) / 1.2, max(values) * 1.2] if log else [min(0.0, min(values)), 1.06 * max(values) or 1.0]
    scale = alt.Scale(type="log" if log else "linear", domain=domain, nice=False)
    axis = alt.Axis(minExtent=44, gridColor=FAINT, tickCount=5)
    if log:
        axis = alt.Axis(minExtent=44, gridColor=FAINT, labelExpr=LABEL_EXPRESSION, values=round_values(*domain))
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickMinStep=1, tickCount=10))
    y = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    shades = [_shade(i / max(len(blocks) - 1, 1)) for i in range(len(blocks))] if len(blocks) > 1 else [_shade(0.6)]
    named = blocks if len(blocks) <= LEGEND else blocks[:: -(-len(blocks) // LEGEND)]
    legend = alt.Legend(values=named, title="module") if len(blocks) > 1 else None
    colour = alt.Color("block:N", sort=blocks, scale=alt.Scale(domain=blocks, range=shades), legend=legend)
    tips = [alt.Tooltip("block:N"), alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".3~g")]
    lines = rows_of(rows).mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.6)
    layers = [lines.encode(x=x, y=y, color=colour, tooltip=tips)]
    if drawn.mark is not None:
        layers = [*_mark(drawn, y), *layers]
    return framed(layers, title, height=190)


def _mark(drawn: Drawn, y: alt.Y) -> list[alt.Chart]:
    row = rows_of([{"value": drawn.mark, "text": drawn.mark_name}])
    layers = [row.mark_rule(strokeDash=[5, 4], color=AXIS, strokeWidth=1.5).encode(y=y)]
    for style in HALO_THEN_INK:
        look: dict[str, Any] = {"align": "right", "dx": -4, "dy": -8, "fontSize": 12, "color": INK, **style}
        layers.append(row.mark_text(**look).encode(x=alt.XValue(WIDTH), y=y, text=alt.Text("text:N")))
    return layers


def _shade(t: float) -> str:
    return "#" + "".join(f"{round(a + (b - a) * t):02x}" for a, b in zip(PALE, DARK, strict=True))
