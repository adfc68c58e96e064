"""Learning curves of lanes on the same steps: what the loss was on the way, and when a target was reached."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from etastar.core.lane import Outcome

WINDOW = 10
"""Recorded steps over which a lane's training loss is averaged."""
POINTS = 60
"""Of a curve: more cannot be told apart on a page."""


class LearningPoint(NamedTuple):
    """Training loss and rate after `step` steps: the median over lanes, and the quartiles of the loss."""

    step: int
    loss: float
    low: float
    high: float
    lr: float


def smoothed(outcome: Outcome) -> list[tuple[int, float, float]]:
    """(step, mean loss over the last `WINDOW` recorded steps, rate) of a lane."""
    losses, found = [], []
    for row in outcome.trace:
        losses = [*losses[-WINDOW + 1 :], row.loss]
        found.append((row.step, statistics.fmean(losses), row.lr))
    return found


def at_step(outcome: Outcome, step: int) -> tuple[float, float]:
    """(smoothed loss, rate) at a step; NaN before the first and after a lane broke."""
    known = [(loss, lr) for t, loss, lr in smoothed(outcome) if t <= step]
    broke = outcome.broken and step >= outcome.steps
    return known[-1] if known and not broke else (math.nan, math.nan)


def curve_of(outcomes: Sequence[Outcome], steps: int) -> tuple[LearningPoint, ...]:
    """Medians and quartiles over the lanes that are still training."""
    places = sorted({round(i * (steps - 1) / (POINTS - 1)) for i in range(POINTS)})
    lanes = [_sampled(outcome, places) for outcome in outcomes]
    found = []
    for i, step in enumerate(places):
        own = [lane[i] for lane in lanes if math.isfinite(lane[i][0])]
        if own:
            losses = sorted(loss for loss, _ in own)
            quarter = (len(losses) - 1) // 4
            middle, lr = statistics.median(losses), statistics.median(rate for _, rate in own)
            found.append(LearningPoint(step, middle, losses[quarter], losses[-1 - quarter], lr))
    return tuple(found)


def _sampled(outcome: Outcome, places: Sequence[int]) -> list[tuple[float, float]]:
    rows, found, last, i = smoothed(outcome), [], (math.nan, math.nan), 0
    for step in places:
        while i < len(rows) and rows[i][0] <= step:
            last, i = rows[i][1:], i + 1
        found.append((math.nan, math.nan) if outcome.broken and step >= outcome.steps else last)
    return found


def reached(outcome: Outcome, target: float) -> int | None:
    """The first recorded step at which the smoothed loss is at most `target`; None if it never is."""
    rows = smoothed(outcome)
    return next((t for i, (t, loss, _) in enumerate(rows) if loss <= target and i + 1 >= min(WINDOW, len(rows))), None)
