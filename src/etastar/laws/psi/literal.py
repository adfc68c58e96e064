"""Rows as the question has them: epoch, rate, loss, and the rate of convergence that was observed; from logs alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from etastar.core.lane import Outcome
from etastar.laws.psi.fork import fallen_before, fallen_losses

PLACES = tuple(i / 10 for i in range(11))
"""Shares of the steps between which a row is read: the length of a fork's segment."""
LEAST_RATE = -6.0
"""Of ln(rate / peak): what follows where a schedule has reached nothing says nothing about rates."""


@dataclass(frozen=True)
class Observed:
    """One row of a log.

    Args:
        task, group: of the problem; tasks of one group are siblings.
        s: share of the steps that is over.
        e: ln(loss / first loss) there.
        a: ln(rate / peak) in use from there on; the peak is linear decay's.
        gain: what followed: by how much ln(loss) fell over the next tenth of the steps, or another measure of success.
    """

    task: str
    group: str
    s: float
    e: float
    a: float
    gain: float


def observed(outcome: Outcome, peak: float, task: str, group: str) -> list[Observed]:
    """The rows of one run, a tenth of the steps each, until it broke or its rate was nothing."""
    steps, losses = outcome.lane.steps, fallen_losses(outcome)
    rates = {row.step: row.lr for row in outcome.trace}
    found = []
    for s, after in pairwise(PLACES):
        middle = next((lr for t, lr in rates.items() if t >= (s + after) / 2 * steps), 0.0)
        if outcome.steps < after * steps or not middle > peak * math.exp(LEAST_RATE):
            break
        e = fallen_before(losses, round(s * steps))
        soon = e - fallen_before(losses, round(after * steps))
        found.append(Observed(task, group, s, e, math.log(middle / peak), soon))
    return found


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's; NaN where one of them does not vary.

    >>> round(correlation([1, 2, 3], [2, 4, 6]), 6)
    1.0
    """
    a, b = (np.asarray(v, dtype=float) - np.mean(v) for v in (x, y))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


def confounded(rows: Sequence[Observed]) -> float:
    """The correlation of ln(rate) and time in the rows: in logs of decaying schedules, low rates are late ones."""
    return correlation([row.s for row in rows], [row.a for row in rows])
