"""The prior that tasks teach: the likeliest levels, exponent and spreads of `RatePrior`, by optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from benchmarks.long_horizon.tasks import HORIZON
from benchmarks.long_horizon.truth import Truth
from etastar.designs.best_rate.rate_prior import REFERENCE, RatePrior
from etastar.designs.best_rate.rate_priors import mean_factor

LEAST_SD = 0.05


def fitted(truths: Sequence[Truth]) -> dict[str, RatePrior]:
    """Optimizer -> the prior of its mean rate. A cell draws (level, exponent), a horizon about its line."""
    optimizers = list(dict.fromkeys(t.cell.optimizer for t in truths))
    cells: dict[str, list[tuple[float, float]]] = {}
    for t in truths:
        shift = math.log10(mean_factor(t.cell.problem().policy, HORIZON))
        cells.setdefault(t.cell.name, []).append((math.log10(t.steps / REFERENCE), t.best + shift))
    groups = [(optimizers.index(name.split("/")[1]), np.array(rows).T) for name, rows in cells.items()]

    def minus_likelihood(theta: np.ndarray) -> float:
        *levels, gamma, a, b, c = theta
        u, g, e = (math.exp(s) + LEAST_SD for s in (a, b, c))
        total = 0.0
        for index, (far, x) in groups:
            off = x - levels[index] + gamma * far
            spread = u**2 + g**2 * np.outer(far, far) + e**2 * np.eye(len(x))
            total += np.linalg.slogdet(spread)[1] + off @ np.linalg.solve(spread, off)
        return float(total)

    start = np.array([-2.0] * len(optimizers) + [0.3, -1.0, -1.0, -1.0])
    limits = {"maxiter": 8000, "maxfev": 8000}
    *levels, gamma, a, b, c = map(float, minimize(minus_likelihood, start, method="Nelder-Mead", options=limits).x)
    u, g, e = (math.exp(s) + LEAST_SD for s in (a, b, c))
    return {name: RatePrior(level, gamma, u, g, e) for name, level in zip(optimizers, levels, strict=True)}
