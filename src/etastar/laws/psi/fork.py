"""`Fork`: one recorded experiment: from a state of training on at another rate for a while, and then down to nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.lane import Outcome
from etastar.policies.psi import HIGHEST, LOWEST, MEMORY


@dataclass(frozen=True)
class Fork:
    """One row of the record.

    Args:
        task, group: of the problem; tasks of one group are siblings.
        path: by which the state was reached.
        seed: of the lane.
        epoch: of the data at the fork, a fraction.
        s: share of the steps that are over at the fork.
        multiple: of the reference rate, peak x (1 - s), that was used for the segment.
        lr: the rate at its first step.
        eps: ln(loss / first loss) at the fork, the loss averaged over 3 % of the steps.
        convergence: rate of convergence before the fork, -d ln(loss) / d step, over a tenth of the steps; NaN at the start.
        final: the loss at the end; infinite if it broke.
        soon: by how much ln(loss) fell over the segment itself; NaN if it broke there, or its losses were not kept.
    """

    task: str
    group: str
    path: str
    seed: int
    epoch: float
    s: float
    multiple: float
    lr: float
    eps: float
    convergence: float
    final: float
    soon: float = math.nan


def fallen_losses(outcome: Outcome) -> list[tuple[int, float]]:
    """(step, ln(loss / first loss)) of a lane's recorded steps, the loss averaged as `Psi` averages it."""
    rows = [row for row in outcome.trace if math.isfinite(row.loss) and row.loss > 0]
    found, mean, last = [], math.nan, 0
    for row in rows:
        kept = (1 - min(1 / (MEMORY * outcome.lane.steps), 1.0)) ** (row.step - last)
        mean = row.loss if math.isnan(mean) else kept * mean + (1 - kept) * row.loss
        last = row.step
        found.append((row.step, min(max(math.log(mean / rows[0].loss), LOWEST), HIGHEST)))
    return found


def fallen_before(losses: Sequence[tuple[int, float]], step: int) -> float:
    """The last of them before the update `step`; 0 where there is none.

    >>> fallen_before([(0, 0.0), (10, -0.5), (20, -1.0)], 15)
    -0.5
    """
    return next((e for t, e in reversed(losses) if t <= step), 0.0)


def state_of(outcome: Outcome, step: int) -> tuple[float, float]:
    """(ln(loss / first loss), rate of convergence per step) of a lane before its update `step`, from its recorded losses."""
    known = [(t, e) for t, e in fallen_losses(outcome) if t <= step]
    if not known:
        return 0.0, math.nan
    last, now = known[-1]
    before = [(t, e) for t, e in known if t <= last - outcome.lane.steps / 10]  # a lane may have broken before the fork
    return now, -(now - before[-1][1]) / (last - before[-1][0]) if before else math.nan
