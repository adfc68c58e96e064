"""Loss curves as rows a chart can draw: few enough, finite, and not stretched by the lanes that blew up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from etastar.core.lane import Outcome, StepRow

T = TypeVar("T")
MAX_ROWS = 5000
"""Altair refuses more."""
CAP = 10.0
"""Losses are drawn up to this many times the loss of knowing nothing; higher ones lie on that line."""


@dataclass(frozen=True)
class LossRows:
    """Rows of a loss chart.

    Args:
        points: one row per drawn step: lane, step, loss, lr, status.
        ends: the last drawn row of each lane.
        bounds: lowest and highest loss that counts as success among these lanes.
        lowest, highest: range of the drawn losses and bounds.
        clipped: whether a loss was cut at the cap, or a non-finite one was drawn there.
    """

    points: list[dict[str, Any]]
    ends: list[dict[str, Any]]
    bounds: tuple[float, float] | None
    lowest: float
    highest: float
    clipped: bool


def loss_rows(outcomes: Sequence[Outcome], max_rows: int = MAX_ROWS) -> LossRows | None:
    """The lanes' losses, thinned to `max_rows`; None when no lane starts with a finite loss.

    Long curves are thinned before short ones and every lane keeps its first and last step; lanes are left out (evenly)
    only if there are more than `max_rows` / 2 of them.
    """
    lanes = [(i, o) for i, o in enumerate(outcomes) if o.trace and math.isfinite(o.trace[0].loss)]
    if not lanes:
        return None
    if 2 * len(lanes) > max_rows:
        lanes = evenly(lanes, max_rows // 2)
    cap = _cap([o for _, o in lanes])
    limit = _points_per_lane([len(o.trace) for _, o in lanes], max_rows)
    points, ends, clipped = [], [], False
    for number, outcome in lanes:
        rows = _drawn(outcome, number, evenly(_until_blown_up(outcome.trace), limit), cap)
        clipped = clipped or any(r["loss"] >= cap for r in rows)
        points += rows
        ends.append(rows[-1])
    bounds = [b for _, o in lanes if math.isfinite(b := o.lane.criterion.bound(o.first_loss))]
    drawn = [r["loss"] for r in points] + [b for b in bounds if b < cap]
    return LossRows(points, ends, (min(bounds), max(bounds)) if bounds else None, min(drawn), max(drawn), clipped)


def evenly(items: Sequence[T], n: int) -> list[T]:
    """At most `n` of `items`, evenly spaced, first and last among them (`n` >= 2).

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= n:
        return list(items)
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def _points_per_lane(lengths: Sequence[int], max_rows: int) -> int:
    """Largest k >= 2 with sum(min(length, k)) <= max_rows: short curves stay whole, long ones pay."""
    low, high = 2, max(max(lengths), 2)
    while low < high:
        k = (low + high + 1) // 2
        if sum(min(n, k) for n in lengths) <= max_rows:
            low = k
        else:
            high = k - 1
    return low


def _cap(outcomes: Sequence[Outcome]) -> float:
    """Highest loss drawn: CAP x the largest finite loss of knowing nothing."""
    references = [o.lane.criterion.reference(o.first_loss) for o in outcomes]
    reference = max((x for x in references if math.isfinite(x)), default=1.0)
    return reference + (CAP - 1) * (abs(reference) or 1.0)  # also above a reference that is zero or negative


def _until_blown_up(trace: Sequence[StepRow]) -> Sequence[StepRow]:
    """The trace up to and including its first non-finite loss."""
    blown_up = (i for i, row in enumerate(trace) if not math.isfinite(row.loss))
    return trace[: next(blown_up, len(trace)) + 1]


def _drawn(outcome: Outcome, number: int, trace: Sequence[StepRow], cap: float) -> list[dict[str, Any]]:
    """Chart rows of one lane; a loss above the cap, or not finite, lies on the cap: that is where the lane went."""
    return [
        {
            "lane": number,
            "step": row.step,
            "loss": min(row.loss, cap) if math.isfinite(row.loss) else cap,
            "lr": outcome.lane.lr,
            "status": outcome.status.value,
        }
        for row in trace
    ]
