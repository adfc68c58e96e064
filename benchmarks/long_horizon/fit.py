"""The prior that tasks teach: the likeliest levels, exponents and spreads of `RatePrior`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from benchmarks.long_horizon.tasks import HORIZON, Cell
from benchmarks.long_horizon.truth import Truth
from etastar.designs.best_rate.rate_prior import REFERENCE, RatePrior
from etastar.designs.best_rate.rate_priors import at_peak, mean_factor, seen_often

LEAST_SD = 0.05


@dataclass(frozen=True)
class Learnt:
    """What tasks teach: a level an optimizer, an exponent for data seen often and one for data seen seldom, and spreads."""

    levels: dict[str, float]
    gammas: dict[bool, float]
    level_sd: float
    gamma_sd: float
    scatter: float

    def prior(self, cell: Cell, steps: int = HORIZON) -> RatePrior:
        """Of the peak rate of a cell."""
        gamma = self.gammas[often(cell, steps)]
        mean = RatePrior(self.levels[cell.optimizer], gamma, self.level_sd, self.gamma_sd, self.scatter)
        return at_peak(mean, cell.problem(steps).policy, steps)


def often(cell: Cell, steps: int = HORIZON) -> bool:
    """Whether its data are seen so often that training ends in memorising."""
    problem = cell.problem(steps)
    return seen_often(problem.steps, problem.parts.batches.per_epoch)


def fitted(truths: Sequence[Truth], one_gamma: bool = False) -> Learnt:
    """Maximum likelihood: a cell draws (level, exponent), a horizon about its line.

    Args:
        truths: of several horizons a cell.
        one_gamma: whether one exponent is to serve for all.
    """
    optimizers = list(dict.fromkeys(t.cell.optimizer for t in truths))
    cells: dict[Cell, list[tuple[float, float]]] = {}
    for t in truths:
        shift = math.log10(mean_factor(t.cell.problem().policy, HORIZON))
        cells.setdefault(t.cell, []).append((math.log10(t.steps / REFERENCE), t.best + shift))
    kind = lambda cell: not one_gamma and often(cell)
    groups = [(optimizers.index(c.optimizer), int(kind(c)), np.array(rows).T) for c, rows in cells.items()]
    count = len(optimizers)

    def minus_likelihood(theta: np.ndarray) -> float:
        u, g, e = _spreads(theta)
        total = 0.0
        for level, many, (far, x) in groups:
            off = x - theta[level] + theta[count + many] * far
            spread = u**2 + g**2 * np.outer(far, far) + e**2 * np.eye(len(x))
            total += np.linalg.slogdet(spread)[1] + off @ np.linalg.solve(spread, off)
        return float(total)

    start = np.array([-2.0] * count + [0.3, 0.3, -1.0, -1.0, -1.0])
    theta = minimize(minus_likelihood, start, method="L-BFGS-B").x
    levels = dict(zip(optimizers, map(float, theta), strict=False))
    gammas = {many: float(theta[count + (many and not one_gamma)]) for many in (False, True)}
    return Learnt(levels, gammas, *_spreads(theta))


def _spreads(theta: np.ndarray) -> tuple[float, float, float]:
    u, g, e = (math.exp(s) + LEAST_SD for s in theta[-3:])
    return u, g, e
