"""The marks of a search's charts: a mark a trial, told apart by how it ended, over an axis of losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from etastar.core.lane import LaneStatus
from etastar.designs.search.search_space import Parameter
from etastar.designs.search.trials import Trial
from etastar.reports.chart_parts import ENDINGS, rate_tooltip, rows_of
from etastar.reports.panels import round_values
from etastar.reports.rate_text import LABEL_EXPRESSION
from etastar.reports.share_chart import RECOMMENDED
from etastar.verbs.search.search_answer import SearchAnswer

ENDED, PRUNED, FAILED = "ran to its end", "pruned", "failed"
COLOURS = {ENDED: ENDINGS[LaneStatus.TRAINED], PRUNED: ENDINGS[LaneStatus.DEAD], FAILED: ENDINGS[LaneStatus.DIVERGED]}
SHAPES = {ENDED: "circle", PRUNED: "triangle-down", FAILED: "cross"}
WIDE = 5.0
"""Losses are drawn on a logarithmic axis if the highest is more than this many times the lowest."""
SMALLEST = 1e-300
"""Where a logarithmic axis ends at the latest."""
RUG, FLOOR = 0.08, -0.06
"""Heights of failed trials and of the foot of the axis, in shares of the range of losses from the highest and lowest."""
JITTER = 7
"""Places beside each other for trials of the same choice."""


@dataclass(frozen=True)
class Heights:
    """The axis of losses with room above: failed trials lie on a line there, labels above them.

    Args:
        low, high: of the trials without a failed lane.
        log: whether the axis is logarithmic.
        known: whether there was such a trial; else the axis has neither labels nor title.
    """

    low: float
    high: float
    log: bool
    known: bool = True

    @classmethod
    def of(cls, losses: Sequence[float]) -> Heights:
        """The heights of these losses; of none, an axis without labels."""
        if not losses:
            return cls(0.0, 0.0, log=False, known=False)
        low, high = min(losses), max(losses)
        return cls(low, high, log=low > SMALLEST and high > WIDE * low)

    def at(self, share: float) -> float:
        """The loss at `share` of the way from the lowest to the highest; losses all the same lie in the middle.

        >>> Heights(1.0, 100.0, log=True).at(0.5)
        10.0
        """
        if self.log:
            return max(10 ** ((1 - share) * math.log10(self.low) + share * math.log10(self.high)), SMALLEST)
        if not self.known:
            return share if share > 1 else 1 - 0.2 * (1 - share)
        if self.low == self.high:
            return self.low + (share - 0.5) * (abs(self.low) or 1.0)
        return self.low + share * (self.high - self.low)

    @property
    def pixels(self) -> int:
        """How high a chart of its own is: low where there is nothing to compare."""
        return 320 if self.high > self.low else 220 if self.known else 130

    def axis(self, title: str, top: float, field: str = "height:Q") -> alt.Y:
        """The y axis up to `top` (a share); only losses that were reached are labelled."""
        scale = alt.Scale(type="log" if self.log else "linear", domain=[self.at(FLOOR), self.at(top)], nice=False)
        rounded = round_values(self.low, self.high) if self.log else []
        ends = [self.low, self.high] if self.log or self.low == self.high else alt.Undefined
        values = rounded if len(rounded) > 1 else ends
        shown = f"datum.value > {self.high!r} || datum.value < {self.at(FLOOR)!r} ? '' : {LABEL_EXPRESSION}"
        axis = alt.Axis(
            labels=self.known, labelExpr=shown, minExtent=44, grid=False, ticks=False, values=values, tickCount=6
        )
        return alt.Y(field, title=title if self.known else None, scale=scale, axis=axis)


def ending(trial: Trial) -> str:
    """How a trial is drawn: one lane that failed is enough to set it apart."""
    if trial.diverged:
        return FAILED
    return PRUNED if trial.state == "pruned" else ENDED


def trial_rows(answer: SearchAnswer, trials: Sequence[Trial], heights: Heights) -> list[dict[str, Any]]:
    """One row a trial, its parameters under names of our own: theirs may hold what Vega reads as a path."""
    best = answer.best.number if answer.best is not None and answer.lr.ok else None
    lowest = _lowest(answer.trials)
    rows = []
    for trial in trials:
        if trial.loss is None:
            continue
        row = {
            "trial": trial.number,
            "lr": trial.lr,
            "loss": trial.loss,
            "height": heights.at(1 + RUG) if trial.diverged else trial.loss,
            "ended": ending(trial),
            "lanes": f"{trial.diverged} of {len(trial.losses)} failed" if trial.diverged else f"{len(trial.losses)}",
            "steps": trial.rungs[-1][0] if trial.rungs else None,
            "lowest": lowest.get(trial.number),
            "best": trial.number == best,
            "beside": trial.number * 3 % JITTER,
        }
        rows.append({**row, **{f"p{i}": _value(p, trial) for i, p in enumerate(answer.space)}})
    return rows


def _lowest(trials: Sequence[Trial]) -> dict[int, float]:
    """Card of a trial -> the lowest loss up to there of a trial that ran to its end, from the first such trial on."""
    found: dict[int, float] = {}
    lowest = math.inf
    for trial in trials:
        if trial.trained and trial.loss is not None:
            lowest = min(lowest, trial.loss)
        if lowest < math.inf:
            found[trial.number] = lowest
    return found


def _value(parameter: Parameter, trial: Trial) -> float | str:
    value = trial.params[parameter.name]
    return float(value) if parameter.choices is None else str(value)


def _tooltip(answer: SearchAnswer) -> list[alt.Tooltip]:
    """Everything about a trial."""
    own = [
        alt.Tooltip(f"p{i}:N", title=p.name)
        if p.choices is not None
        else alt.Tooltip(f"p{i}:Q", title=p.name, format=".4~g")
        for i, p in enumerate(answer.space)
        if p.name != "lr"
    ]
    return [
        alt.Tooltip("trial:Q"),
        rate_tooltip(),
        *own,
        alt.Tooltip("loss:Q", format=".4~g"),
        alt.Tooltip("ended:N"),
        alt.Tooltip("lanes:N"),
        alt.Tooltip("steps:Q", format=",", title="steps trained"),
    ]


def trial_marks(
    answer: SearchAnswer,
    rows: list[dict[str, Any]],
    x: alt.X,
    y: alt.Y,
    *,
    legend: bool = True,
    size: int = 48,
    **channels: Any,
) -> list[alt.Chart]:
    """A mark a trial, told apart by colour and shape; the best ringed. `channels` go to both."""
    names = [name for name in COLOURS if any(row["ended"] == name for row in rows)]
    look = alt.Legend(orient="bottom", direction="horizontal") if legend else None
    colour = alt.Color(
        "ended:N", title=None, legend=look, scale=alt.Scale(domain=names, range=[COLOURS[name] for name in names])
    )
    shape = alt.Shape(
        "ended:N", title=None, legend=look, scale=alt.Scale(domain=names, range=[SHAPES[name] for name in names])
    )
    points = rows_of(rows).mark_point(filled=True, size=size, opacity=0.75)
    layers = [points.encode(x=x, y=y, color=colour, shape=shape, tooltip=_tooltip(answer), **channels)]
    if any(row["best"] for row in rows):
        ring = rows_of(rows).transform_filter("datum.best").mark_point(size=4 * size, color=RECOMMENDED, strokeWidth=2.4)
        layers.append(ring.encode(x=x, y=y, tooltip=_tooltip(answer), **channels))
    return layers


def loss_title(answer: SearchAnswer) -> str:
    """The objective without its steps and seeds."""
    return answer.objective.split(" after ")[0]
