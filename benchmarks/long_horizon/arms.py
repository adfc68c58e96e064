"""The arms that are compared at equal cost, each with the prior of the other tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.long_horizon.fit import fitted
from benchmarks.long_horizon.tasks import HORIZON, Cell, cells
from benchmarks.long_horizon.truth import Row, Truth, place_in
from etastar.core.lane import quantise
from etastar.designs.best_rate.best_lr import GAMMA, PAD_HIGH, PAD_LOW, Rung
from etastar.designs.best_rate.budgeted import ERROR, LANES, OPEN_ERROR, QUANTILE, SPACING, Budgeted
from etastar.designs.best_rate.cooldowns import SHARE, Cooldowns
from etastar.designs.best_rate.rate_prior import Belief, BestSeen, RatePrior
from etastar.designs.best_rate.rate_priors import at_peak, mean_factor
from etastar.policies.schedule import Schedule
from etastar.verbs.workplace import Session

BUDGETS = (0.01, 0.02, 0.05, 0.1)
SEEDS = (0, 1)
KEPT = (5, 3, 2)
"""Rates of the trunks that are cooled down at n/4, n/2 and n."""
Found = tuple[list[BestSeen], int, float | None]
"""What an arm says of the peak rate, gradient steps it took, and its rate without any prior."""


def tried(truths: Sequence[Truth], folder: Path) -> Iterator[Row]:
    """One row a cell, arm, budget and seed."""
    for cell in cells():
        others = [t for t in truths if t.cell.task != cell.task]
        with place_in(folder) as place:
            session = place.of(cell.problem())
            prior = at_peak(fitted_once(others, cell.task)[cell.optimizer], session.problem.policy, HORIZON)
            alike = [t.best for t in others if t.steps == HORIZON and t.cell.name.endswith(cell.name.split("/", 1)[1])]
            usual = {"kind": "arm", "cell": cell.name, "arm": "usual", "budget": 0.0, "seed": 0, "lr": 10 ** median(alike)}
            yield usual | {"low": None, "high": None, "cost": 0.0}
            yield _row(cell, "prior", 0.0, 0, prior.at(HORIZON), 0)
            for budget in BUDGETS:
                for seed in SEEDS:
                    yield from _measured(session, cell, prior, round(budget * HORIZON), budget, seed)


_priors: dict[str, dict[str, RatePrior]] = {}


def fitted_once(others: Sequence[Truth], without: str) -> dict[str, RatePrior]:
    """The priors that all tasks but one teach."""
    if without not in _priors:
        _priors[without] = fitted(others)
    return _priors[without]


def _measured(session: Session, cell: Cell, prior: RatePrior, steps: int, budget: float, seed: int) -> Iterator[Row]:
    for arm, measure in ARMS.items():
        if (found := measure(session, prior, steps, seed)) is None:
            continue
        readings, cost, bare = found
        row = _row(cell, arm, budget, seed, prior.at(HORIZON, readings), cost)
        yield row | {"left": prior.at(HORIZON, readings).sd / prior.at(HORIZON).sd, "readings": [list(r) for r in readings]}
        if bare is not None and arm == "squeezed":
            x = math.log10(bare)
            low, high = x - (1 - GAMMA) * math.log10(HORIZON / readings[0].steps) - PAD_LOW, x + GAMMA * 2 + PAD_HIGH
            yield {**row, "arm": "squeezed, no prior", "lr": bare, "low": 10**low, "high": 10**high}


def _squeezed(rung_of: Callable[[int], Rung]) -> Callable[[Session, RatePrior, int, int], Found | None]:
    """One rung of short lanes of the user's schedule."""

    def measure(session: Session, prior: RatePrior, steps: int, seed: int) -> Found | None:
        rung, problem = rung_of(steps), session.problem
        if rung.lanes < 3:
            return None
        design = Budgeted(session.facts.criterion, HORIZON, prior, steps, problem.policy, seed, rung=rung)
        best, _ = session.run(design)
        readings = design.readings(best)
        bare = 10 ** (readings[0].x - GAMMA * math.log10(HORIZON / rung.steps)) if readings else None
        return readings, best.lr.cost, bare

    return measure


def _trunks(session: Session, prior: RatePrior, steps: int, seed: int) -> Found | None:
    """A trunk a rate, cooled down at n/4, n/2 and n; the better half goes on. Charged as if only those had been trained."""
    share = np.array([0.25, 0.5 - 0.25 + SHARE * 0.25, 1 - 0.5 + SHARE * 0.5])  # of n, each time: trunk and cooldown
    n = int(steps / float(np.dot(KEPT, share)))
    horizons = [n // 4, n // 2, n]
    if horizons[0] < 10:
        return None
    per_peak = -math.log10(mean_factor(session.problem.policy, HORIZON))
    flat = -math.log10(mean_factor(Schedule(decay=SHARE, curve="sqrt").over(n), n))
    centre = prior.at(horizons[1]).mean - per_peak + flat
    rates = [quantise(10 ** (centre + SPACING * k)) for k in range(-2, 3)]
    design = Cooldowns(session.facts.criterion, rates, horizons, seed=seed)
    ended = {(c.lr, c.steps): c.loss for c in session.run(design)}
    readings, left = [], rates
    for horizon, kept in zip(horizons, (*KEPT[1:], 0), strict=True):
        losses = [ended[lr, horizon] for lr in left]
        if not np.isfinite(losses).any():
            break
        x, error = _vertex(np.log10(left), np.array(losses))
        readings.append(BestSeen(x - flat + per_peak, horizon, error))
        left = sorted(sorted(left, key=lambda lr: (math.isnan(ended[lr, horizon]), ended[lr, horizon]))[:kept])
    return readings, round(float(np.dot(KEPT, share)) * n), None


def _vertex(x: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """log10 of the best rate, and its error: a parabola through three in a row, else the best."""
    y = np.minimum(np.log(np.where(np.isfinite(losses), losses, np.nanmax(losses) * 3)), 50)
    at = int(np.argmin(y))
    if at in (0, len(x) - 1):
        return float(x[at]), OPEN_ERROR
    left, middle, right = np.minimum(y[at - 1 : at + 2] - y[at], 1.0)
    return float(x[at] + (x[at + 1] - x[at]) * (left - right) / (2 * (left - 2 * middle + right) or 1.0)), ERROR


def _five(steps: int) -> Rung:
    each = max(steps // LANES, 50)
    return Rung(each, SPACING, steps // each)


def _shorter(steps: int) -> Rung:
    return Rung(max(steps // LANES, 20), SPACING, LANES)


def _three(steps: int) -> Rung:
    each = max(steps // 3, 33)
    return Rung(each, 0.75, steps // each)


ARMS: dict[str, Callable[[Session, RatePrior, int, int], Found | None]] = {
    "squeezed": _squeezed(_five),
    "squeezed, five lanes however short": _squeezed(_shorter),
    "squeezed, three lanes": _squeezed(_three),
    "trunks": _trunks,
}


def _row(cell: Cell, arm: str, budget: float, seed: int, belief: Belief, cost: int) -> dict[str, Any]:
    low, high = belief.interval(QUANTILE)
    labels = {"kind": "arm", "cell": cell.name, "arm": arm, "budget": budget, "seed": seed}
    return labels | {"lr": 10**belief.mean, "low": low, "high": high, "cost": cost / HORIZON}
