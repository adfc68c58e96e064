"""The arms that are compared at equal cost, each with the prior of the other tasks."""

from __future__ import annotations

import itertools
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
from etastar.designs.best_rate.best_lr import Rung
from etastar.designs.best_rate.budgeted import (
    ERROR,
    LANES,
    OPEN_ERROR,
    QUANTILE,
    SHORTEST,
    SPACING,
    UNDECIDED,
    Budgeted,
    believed,
)
from etastar.designs.best_rate.carried import GAMMA, PAD_HIGH, PAD_LOW
from etastar.designs.best_rate.cooldowns import SHARE, Cooldowns
from etastar.designs.best_rate.rate_prior import Belief, BestSeen, RatePrior
from etastar.designs.best_rate.rate_priors import mean_factor
from etastar.policies.schedule import Schedule
from etastar.verbs.workplace import Session

BUDGETS = (0.01, 0.02, 0.05)
KEPT = (5, 3, 2)
"""Rates of the trunks that are cooled down at n/4, n/2 and n."""
SQUEEZED, SHORT, BLIND = "squeezed", "squeezed, five lanes however short", ", one exponent for all data"
SHIPPED = "etastar find --budget"
"""The prior wherever lanes have not decided, and where they have the level is loose."""
LEAST = 50
"""Steps of a lane at least, in all arms but the one of lanes however short."""
Found = tuple[list[BestSeen], int]
"""What an arm says of the peak rate, and the gradient steps it took."""


def tried(truths: Sequence[Truth], folder: Path, seeds: int) -> Iterator[Row]:
    """One row a cell, arm, budget and seed."""
    for task in dict.fromkeys(t.cell.task for t in truths):
        others = [t for t in truths if t.cell.task != task]
        learnt, blind = fitted(others), fitted(others, one_gamma=True)
        for cell in (c for c in cells() if c.task == task):
            alike = [t.best for t in others if t.steps == HORIZON and t.cell.alike(cell)]
            usual = arm_row(cell, "usual", 0.0, 0, Belief(median(alike), 0.0), 0)
            yield usual | {"low": None, "high": None}
            prior, alone = learnt.prior(cell), blind.prior(cell)
            yield arm_row(cell, "prior", 0.0, 0, prior.at(HORIZON), 0)
            yield arm_row(cell, f"prior{BLIND}", 0.0, 0, alone.at(HORIZON), 0)
            with place_in(folder) as place:
                session = place.of(cell.problem())
                for budget, seed in itertools.product(BUDGETS, range(seeds)):
                    yield from _measured(session, cell, {"": prior, BLIND: alone}, budget, seed)


def _measured(session: Session, cell: Cell, priors: dict[str, RatePrior], budget: float, seed: int) -> Iterator[Row]:
    shipped: Row = {}
    for arm, measure in ARMS.items():
        if (found := measure(session, priors[""], round(budget * HORIZON), seed)) is None:
            continue
        readings, cost = found
        for which, prior in priors.items() if arm == SQUEEZED else [("", priors[""])]:
            belief = prior.at(HORIZON, readings)
            row = arm_row(cell, arm + which, budget, seed, belief, cost)
            yield (row := row | {"left": belief.sd / prior.at(HORIZON).sd, "readings": [list(r) for r in readings]})
            if arm + which in (SQUEEZED, SHORT):
                shipped = shipped_row(cell, row, prior)
        if arm == SQUEEZED and readings:
            [seen] = readings
            x, far = seen.x - GAMMA * math.log10(HORIZON / seen.steps), math.log10(HORIZON / seen.steps)
            ends = {"low": 10 ** (seen.x - far - PAD_LOW), "high": 10 ** (seen.x + PAD_HIGH)}
            yield arm_row(cell, f"{arm}, no prior", budget, seed, Belief(x, 0.0), cost) | ends
    if shipped:
        yield shipped


def shipped_row(cell: Cell, row: Row, prior: RatePrior) -> Row:
    """What the command says of the readings of an arm."""
    readings = [BestSeen(*reading) for reading in row["readings"]]
    belief = believed(prior, HORIZON, readings) if row["left"] <= UNDECIDED else prior.at(HORIZON)
    return arm_row(cell, SHIPPED, row["budget"], row["seed"], belief, 0) | {"cost": row["cost"]}


def _squeezed(rung_of: Callable[[int], Rung]) -> Callable[[Session, RatePrior, int, int], Found | None]:
    """One rung of short lanes of the user's schedule."""

    def measure(session: Session, prior: RatePrior, steps: int, seed: int) -> Found | None:
        rung, problem = rung_of(steps), session.problem
        if rung.lanes < 3:
            return None
        design = Budgeted(session.facts.criterion, HORIZON, prior, steps, problem.policy, seed, rung=rung)
        best, _ = session.run(design)
        return design.readings(best), best.lr.cost

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
        x, error = vertex(np.log10(left), np.array(losses))
        readings.append(BestSeen(x - flat + per_peak, horizon, error))
        left = sorted(sorted(left, key=lambda lr: (math.isnan(ended[lr, horizon]), ended[lr, horizon]))[:kept])
    return readings, round(float(np.dot(KEPT, share)) * n)


def vertex(x: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """log10 of the best rate, and its error: a parabola through three in a row, else the best."""
    y = np.minimum(np.log(np.where(np.isfinite(losses), losses, np.nanmax(losses) * 3)), 50)
    at = int(np.argmin(y))
    if at in (0, len(x) - 1):
        return float(x[at]), OPEN_ERROR
    left, middle, right = np.minimum(y[at - 1 : at + 2] - y[at], 1.0)
    return float(x[at] + (x[at + 1] - x[at]) * (left - right) / (2 * (left - 2 * middle + right) or 1.0)), ERROR


def _five(steps: int) -> Rung:
    each = max(steps // LANES, LEAST)
    return Rung(each, SPACING, steps // each)


def _shorter(steps: int) -> Rung:
    each = max(steps // LANES, SHORTEST)
    return Rung(each, SPACING, LANES if each < LEAST else 0)  # else they are those of `_five`


def _three(steps: int) -> Rung:
    each = max(steps // 3, 33)
    return Rung(each, 0.75, steps // each)


ARMS: dict[str, Callable[[Session, RatePrior, int, int], Found | None]] = {
    SQUEEZED: _squeezed(_five),
    SHORT: _squeezed(_shorter),
    "squeezed, three lanes": _squeezed(_three),
    "trunks": _trunks,
}


def arm_row(cell: Cell, arm: str, budget: float, seed: int, belief: Belief, cost: int) -> dict[str, Any]:
    """What an arm says of a cell."""
    low, high = belief.interval(QUANTILE)
    labels = {"kind": "arm", "cell": cell.name, "arm": arm, "budget": budget, "seed": seed}
    return labels | {"lr": 10**belief.mean, "low": low, "high": high, "cost": cost / HORIZON}
