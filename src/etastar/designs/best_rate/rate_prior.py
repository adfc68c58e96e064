"""What is known of the best rate before anything is trained, and what readings of short lanes add to it: Gaussians in log10.

The best rate moves with the horizon, and by how much, and even to which side, differs from task to task: the exponent is a
random effect of either sign, not a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

REFERENCE = 1000
"""Steps at which `RatePrior.level` holds."""


class Belief(NamedTuple):
    """Where the logarithm of a rate lies: mean and standard deviation, in decades."""

    mean: float
    sd: float

    def interval(self, quantile: float) -> tuple[float, float]:
        """The rates `quantile` standard deviations to either side.

        >>> Belief(-2.0, 0.5).interval(2.0)
        (0.001, 0.1)
        """
        return 10 ** (self.mean - quantile * self.sd), 10 ** (self.mean + quantile * self.sd)


class BestSeen(NamedTuple):
    """log10 of the best rate of lanes of so many steps, with its standard error in decades."""

    x: float
    steps: int
    error: float


@dataclass(frozen=True)
class RatePrior:
    """The best rate of a task that nobody has measured.

        log10 best(n) = u - g log10(n / 1000) + e(n)
        u ~ N(level, level_sd^2),  g ~ N(gamma, gamma_sd^2),  e ~ N(0, scatter^2), independent

    Args:
        level: mean of log10 of the best rate at 1000 steps.
        gamma: mean exponent of the horizon.
        level_sd, gamma_sd: between tasks.
        scatter: of one horizon about a task's line.

    >>> prior = RatePrior(level=-2.0, gamma=0.5, level_sd=0.3, gamma_sd=0.4, scatter=0.0)
    >>> prior.at(10_000)
    Belief(mean=-2.5, sd=0.5)
    """

    level: float
    gamma: float
    level_sd: float
    gamma_sd: float
    scatter: float

    def at(self, steps: int, readings: Sequence[BestSeen] = ()) -> Belief:
        """The best rate at a horizon, given what lanes of other lengths say.

            m' = m + C A' S^-1 (x - A m),   C' = C - C A' S^-1 A C,   S = A C A' + diag(error^2 + scatter^2)

        where A has one row (1, -log10(n / 1000)) a reading, m = (level, gamma) and C = diag(level_sd^2, gamma_sd^2).

        >>> prior = RatePrior(level=-2.0, gamma=0.0, level_sd=0.3, gamma_sd=0.0, scatter=0.0)
        >>> prior.at(1000, [BestSeen(x=-1.0, steps=1000, error=0.3)]).mean
        -1.5
        """
        mean = np.array([self.level, self.gamma])
        spread = np.diag([self.level_sd**2, self.gamma_sd**2])
        if readings:
            rows = np.stack([_row(r.steps) for r in readings])
            noise = np.diag([r.error**2 + self.scatter**2 for r in readings])
            gain = np.linalg.solve(rows @ spread @ rows.T + noise, rows @ spread).T
            mean = mean + gain @ (np.array([r.x for r in readings]) - rows @ mean)
            spread = spread - gain @ rows @ spread
        row = _row(steps)
        return Belief(float(row @ mean), math.sqrt(max(float(row @ spread @ row), 0.0) + self.scatter**2))

    def left(self, steps: int, read: int, error: float) -> float:
        """Share of the prior's standard deviation at `steps` that a reading of lanes of `read` steps leaves; known before.

        >>> RatePrior(-2.0, 0.0, 0.3, 0.0, 0.0).left(1000, 1000, error=0.4)
        0.8
        """
        return self.at(steps, [BestSeen(0.0, read, error)]).sd / self.at(steps).sd


def _row(steps: int) -> np.ndarray:
    return np.array([1.0, -math.log10(steps / REFERENCE)])
