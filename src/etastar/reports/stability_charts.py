"""What a `StabilityWatch` has read, over steps: the rate, and below it A and B of every block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.stability_monitor import StabilityMonitor
from etastar.probes.stability.change import Stability
from etastar.reports.chart_parts import in_style
from etastar.reports.monitor_charts import line_chart


def stability_chart(rows: Sequence[Stability], title: str = "Network stability") -> alt.VConcatChart | None:
    """Rate, A_b and B_b over steps, a line a block; None where there are no rows. `.save("stability.png")` draws it."""
    rates = Drawn("rate", "", "")
    panels = [("learning rate", rates, [{"step": row.step, "block": "rate", "value": row.rate} for row in rows])]
    panels += [(drawn.title, drawn, _rows(rows, drawn.quantity)) for drawn in StabilityMonitor.drawn]
    charts = [line_chart(text, drawn, of) for text, drawn, of in panels if of]
    if not rows or not charts:
        return None
    for chart in charts:
        chart.config = alt.Undefined  # a chart of charts has one
    return in_style(alt.VConcatChart(vconcat=charts).resolve_scale(color="independent"), title)


def _rows(rows: Sequence[Stability], quantity: str) -> list[dict[str, Any]]:
    found = [(row.step, block.name or "model", getattr(block, quantity)) for row in rows for block in row.blocks]
    return [{"step": step, "block": name, "value": x} for step, name, x in found if math.isfinite(x)]
