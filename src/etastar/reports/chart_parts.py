"""What the charts share: colours, the axis of rates, tooltips, and the frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt
import pandas as pd

from etastar.core.lane import LaneStatus
from etastar.reports.rate_text import LABEL_EXPRESSION

WIDTH = 800
INK = "#1f2933"
FAINT = "#e4e7eb"
AXIS = "#9aa5b1"
ENDINGS = {
    LaneStatus.TRAINED: "#2a9d6f",
    LaneStatus.SLOW: "#e3a008",
    LaneStatus.DEAD: "#8a94a0",
    LaneStatus.DIVERGED: "#c8372d",
    LaneStatus.RAISED: "#8b4fb3",
}
"""How a lane ended -> its colour, the same in every chart."""
HALO_THEN_INK: tuple[dict[str, Any], ...] = ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {})
"""Two passes of a label: a white outline that keeps it readable on top of lines, then the text itself."""


def around(lrs: Iterable[float], margin: float = 0.2) -> list[float]:
    """A log axis's domain: the range of `lrs` with `margin` decades left free on either side.

    >>> around([0.1, 10.0], margin=1.0)
    [0.01, 100.0]
    """
    logs = [math.log10(lr) for lr in lrs]
    return [10 ** (min(logs) - margin), 10 ** (max(logs) + margin)]


def rate_axis(field: str, domain: Sequence[float], values: Sequence[float] | None = None) -> alt.X:
    """The x axis of rates, labelled at `values` where they are given."""
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    ticks = alt.Undefined if values is None else list(values)
    axis = alt.Axis(labelExpr=LABEL_EXPRESSION, grid=False, values=ticks)
    return alt.X(field, title="learning rate", scale=scale, axis=axis)


def rate_tooltip() -> alt.Tooltip:
    """The rate in a tooltip."""
    return alt.Tooltip("lr:Q", title="learning rate", format=".3~g")


def rows_of(rows: Iterable[dict[str, Any]]) -> alt.Chart:
    """A chart of `rows`, without marks yet."""
    return alt.Chart(pd.DataFrame(list(rows)))  # a frame: Altair copies and validates a list value by value


def framed(layers: Sequence[alt.Chart], title: str, *, height: int, width: int = WIDTH, note: str = "") -> alt.LayerChart:
    """The layers as one chart in the page's style."""
    return in_style(alt.LayerChart(layer=list(layers), width=width, height=height), title, note, width)


def in_style(chart: Any, title: str, note: str = "", width: int = WIDTH) -> Any:
    """A chart of any kind with its title, in the page's style."""
    heading = alt.TitleParams(title, limit=width) if not note else alt.TitleParams(title, subtitle=note, limit=width)
    text = {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "labelFontSize": 12, "titleFontSize": 12}
    config = alt.Config(
        background="white",
        padding=6,
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(**text, labelPadding=5, gridColor=FAINT, domainColor=AXIS, tickColor=AXIS),
        legend=alt.LegendConfig(**text, orient="bottom", symbolOpacity=1),  # beside it, the chart would be scaled down
        title=alt.TitleConfig(anchor="start", color=INK, fontSize=14, subtitleColor="#52606d", offset=10),
    )
    return chart.properties(title=heading, config=config)
