"""What is true of a case: the stored curves, the oracle's choice, and what any other choice loses against it."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bakeoff.curves import FOLDER, FULL, ORACLE_SEEDS, SCORE_SEEDS, SEARCH_SEEDS, combinations, grid
from benchmarks.bakeoff.tasks import TASKS, Case
from etastar.core.lane import quantise
from etastar.core.randomness import derive_seed

Array = NDArray[np.floating[Any]]
WORST = 1.5
"""A failed training counts as this many times the loss at the start."""


@dataclass(frozen=True)
class Curve:
    """Held-out loss and accuracy against log10 of the rate, for one length and seed."""

    x: Array
    loss: Array
    accuracy: Array
    first: float
    spent: Array

    @property
    def capped(self) -> Array:
        """The loss with failures filled in."""
        cap = WORST * self.first
        return np.where(np.isfinite(self.loss), np.minimum(self.loss, cap), cap)


@cache
def curves(combination: str) -> dict[tuple[int, int], Curve]:
    """(steps, seed index) -> curve, of "task/optimizer/schedule"."""
    task, optimizer, schedule = combination.split("/")
    x = np.array(grid(optimizer))
    column = {quantise(10**value): i for i, value in enumerate(x)}
    index = {derive_seed(0, "bakeoff", i): i for i in (*SEARCH_SEEDS, *ORACLE_SEEDS, *SCORE_SEEDS)}
    path = FOLDER / f"{task}-{optimizer}-{schedule}.db"
    tables: dict[tuple[int, int], Array] = {}
    query = "select lr, seed, planned_steps, valid_loss, valid_accuracy, first_loss, steps from run"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        for lr, seed, steps, *values in connection.execute(query):
            table = tables.setdefault((steps, index[seed]), np.full((4, len(x)), np.nan))
            table[:, column[lr]] = [math.nan if v is None else v for v in values]
    return {key: Curve(x, t[0], t[1], float(np.nanmean(t[2])), t[3]) for key, t in tables.items()}


@dataclass(frozen=True)
class Truth:
    """What is true of a case: the oracle's choice, and the curves that every choice is scored on.

    Args:
        x: log10 of the rates.
        oracle: log10 of the best rate over the oracle's seeds.
        low, high: ends of the rates within 0.05 nats of the best, over all seeds of the full length.
        island: ends of those of them that no worse rate parts from the best.
        nats, accuracy: [seeds, rates] on the scoring seeds.
        chance: nats of an untrained network.
    """

    x: Array
    oracle: float
    low: float
    high: float
    island: tuple[float, float]
    nats: Array
    accuracy: Array
    chance: float
    regression: bool

    def regret(self, lr: float) -> float:
        """Nats lost at `lr` against the oracle's rate, on the scoring seeds."""
        at = lambda x: float(np.interp(x, self.x, self.nats.mean(0)))
        return at(math.log10(lr)) - at(self.oracle)

    def ratio(self, lr: float) -> float:
        """Loss at `lr` / that at the oracle's rate; of squared errors, theirs."""
        if self.regression:
            return math.exp(2 * self.regret(lr))
        at = lambda x: float(np.interp(x, self.x, self.nats.mean(0)))
        return at(math.log10(lr)) / at(self.oracle)

    def accuracy_lost(self, lr: float) -> float:
        """Points of accuracy lost; for a regression 0.05 nats count as one point."""
        if self.regression:
            return self.regret(lr) / 0.05
        at = lambda x: float(np.interp(x, self.x, self.accuracy.mean(0)))
        return 100 * (at(self.oracle) - at(math.log10(lr)))

    def fails(self, lr: float) -> bool:
        """Whether training at `lr` gets nowhere: within 0.05 nats of an untrained network, or worse."""
        return float(np.interp(math.log10(lr), self.x, self.nats.mean(0))) > self.chance - 0.05

    @property
    def centre(self) -> float:
        """log10 of the middle of the rates within 0.05 nats of the best."""
        return (self.low + self.high) / 2

    @property
    def middle(self) -> float:
        """The same of the island: between two islands the centre need not be good itself."""
        return sum(self.island) / 2


def island(x: Array, loss: Array, bar: float = 0.05) -> tuple[float, float]:
    """Ends of the good rates around the best that are neighbours.

    >>> island(np.array([-3.0, -2.0, -1.0, 0.0]), np.array([0.03, 0.0, 0.2, 0.04]))
    (-3.0, -2.0)
    """
    best = int(np.argmin(loss))
    worse = np.flatnonzero(loss > loss.min() + bar)
    below, above = worse[worse < best], worse[worse > best]
    return float(x[below.max() + 1 if len(below) else 0]), float(x[above.min() - 1 if len(above) else -1])


def truth(case: Case) -> Truth:
    """What the curves say of `case`."""
    own = curves(f"{case.task.name}/{case.optimizer}/{case.schedule}")
    nats = lambda seeds: np.array([[case.task.nats(v) for v in own[case.steps, s].capped] for s in seeds])
    oracle, scored = nats(ORACLE_SEEDS), nats(SCORE_SEEDS)
    both = np.vstack([oracle, scored]).mean(0)
    first = own[case.steps, SCORE_SEEDS[0]]
    good = first.x[both <= both.min() + 0.05]
    accuracy = np.array([np.nan_to_num(own[case.steps, s].accuracy) for s in SCORE_SEEDS])
    best = float(first.x[int(np.argmin(oracle.mean(0)))])
    chance = case.task.nats(first.first)
    ends = float(good.min()), float(good.max()), island(first.x, both)
    return Truth(first.x, best, *ends, scored, accuracy, chance, case.task.regression)


def finished() -> list[str]:
    """Combinations whose curves are complete."""
    done = []
    for combination in combinations(list(TASKS)):
        if not (FOLDER / f"{'-'.join(combination)}.db").exists():
            continue
        own = curves("/".join(combination))
        complete = all((n, s) in own for n in FULL for s in (*ORACLE_SEEDS, *SCORE_SEEDS))
        if complete and not any(np.isnan(c.spent).any() for c in own.values()):
            done.append("/".join(combination))
    return done
