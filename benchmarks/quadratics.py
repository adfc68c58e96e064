"""eta* of quadratics through the whole instrument, against exact and Monte Carlo truths that share no code with it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import etastar
from etastar.core.lane import Criterion
from etastar.problems.quadratic import CURVATURES, exact_eta_star, quadratic

STEPS, BATCH = 200, 8


def _find(problem: etastar.Problem) -> etastar.verbs.EtaStarAnswer:
    options = etastar.Options(store=":memory:", workers=1)
    return etastar.eta_star(problem, options=options)


def exact_row(curvatures: Sequence[float], momentum: float, seed: int) -> dict[str, Any]:
    """One noiseless quadratic: is the exact eta* inside the interval?"""
    problem = quadratic(curvatures, momentum=momentum, lr=0.1 / max(curvatures), seed=seed)
    assert problem.loss_threshold is not None
    e = _find(problem).estimate
    truth = exact_eta_star(Criterion(loss=problem.loss_threshold), STEPS, curvatures, momentum)
    inside = bool(e.ok and e.low is not None and e.high is not None and e.low <= truth <= e.high)
    kind = f"noiseless, momentum {momentum:g}"
    return {"kind": kind, "truth": truth, "value": e.value, "low": e.low, "high": e.high, "inside": inside, "seed": seed}


def noisy_rows(noises: Sequence[float], seeds: int) -> Iterator[dict[str, Any]]:
    """Noisy quadratics: the truth is the Monte Carlo 50 % point over 20,000 simulated lanes."""
    for noise in noises:
        truth = noisy_eta_star(noise)
        for seed in range(seeds):
            e = _find(quadratic(noise=noise, seed=seed)).estimate
            inside = bool(e.ok and e.low is not None and e.high is not None and e.low <= truth <= e.high)
            row = {"kind": f"noise {noise:g}", "truth": truth, "value": e.value, "low": e.low, "high": e.high}
            yield {**row, "inside": inside, "seed": seed}


@functools.cache
def noisy_eta_star(noise: float, curvatures: tuple[float, ...] = CURVATURES, lanes: int = 20_000) -> float:
    """The rate at which half of simulated lanes meet the criterion, by bisection from a rate where nearly all do."""
    low, high = 2.0 / max(curvatures), 10.0 / max(curvatures)
    while high / low > 1.0005:
        middle = float(np.sqrt(low * high))
        if _share_trained(middle, noise, np.array(curvatures), lanes) >= 0.5:
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))


def _share_trained(lr: float, noise: float, h: np.ndarray, lanes: int) -> float:
    rng = np.random.default_rng(12345)
    threshold, window = 0.25 * h.sum(), 10
    x = np.ones((lanes, len(h)))
    recent = np.full((lanes, window), np.inf)
    trained = np.zeros(lanes, dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(STEPS):
            z = noise * rng.standard_normal((lanes, BATCH, len(h)))
            losses = 0.5 * (h * (x[:, None] - z) ** 2).sum(2).mean(1)
            recent[:, t % window] = losses
            trained |= recent.mean(1) <= threshold
            x = x - lr * h * (x - z.mean(1))
    return float(trained.mean())
