"""`Fork`: one recorded experiment: from a state of training on at another rate for a while, and then down to nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from etastar.core.lane import Outcome
from etastar.policies.psi import averaged, fallen


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


def state_of(outcome: Outcome, step: int) -> tuple[float, float]:
    """(ln(loss / first loss), rate of convergence per step) of a lane before its update `step`, from its recorded losses."""
    steps = outcome.lane.steps
    rows = [row for row in outcome.trace if row.step <= step and math.isfinite(row.loss)]
    if not rows:
        return 0.0, math.nan
    first = torch.tensor(rows[0].loss, dtype=torch.float64)
    mean, last, means = torch.tensor(math.nan, dtype=torch.float64), 0, []
    for row in rows:
        mean = averaged(mean, torch.tensor(row.loss, dtype=torch.float64), row.step - last, steps)
        last = row.step
        means.append((row.step, float(fallen(mean, first))))
    before = [(t, e) for t, e in means if t <= means[-1][0] - steps / 10]  # a lane may have broken before the fork
    slope = -(means[-1][1] - before[-1][1]) / (means[-1][0] - before[-1][0]) if before else math.nan
    return means[-1][1], slope
