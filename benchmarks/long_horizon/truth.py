"""What every rate ends at: lanes of all horizons, kept in a store, so that a recording cut short goes on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.long_horizon.tasks import HORIZON, SHORTER, TASKS, Cell, cells, others
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.randomness import derive_seed
from etastar.designs.fixed_lanes import FixedLanes
from etastar.policies.compose import squeezed
from etastar.verbs.options import Options
from etastar.verbs.workplace import Session, Workplace

Row = dict[str, Any]
WINDOW = 1.05
"""Rates whose loss is at most so many times the lowest are as good as the best."""
WORST = 1.5
"""A failed training counts as this many times the loss at the start."""


def recorded(folder: Path) -> Iterator[Row]:
    """One row a cell and horizon: the loss that every rate ends at."""
    for cell in cells():
        yield from _rows(cell, (*SHORTER, HORIZON), folder)


def recorded_others(folder: Path) -> Iterator[Row]:
    """The same for optimizers of which only the level is learnt."""
    for cell in others():
        yield from _rows(cell, SHORTER[-1:], folder)


def place_in(folder: Path) -> Workplace:
    """Where lanes are trained: in this process, kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Workplace(Options(store=folder / "lanes.db", workers=1))


def _rows(cell: Cell, horizons: tuple[int, ...], folder: Path) -> Iterator[Row]:
    with place_in(folder) as place:
        session = place.of(cell.problem())
        yield from (_row(session, cell, steps) for steps in horizons)


def truths_of(cell: Cell, steps: int, folder: Path) -> Iterator[Row]:
    """The same of one cell at a horizon of its own."""
    with place_in(folder) as place:
        yield _row(place.of(cell.problem(steps)), cell, steps)


def _row(session: Session, cell: Cell, steps: int) -> Row:
    outcomes = session.run(FixedLanes([truth_lane(session, lr, steps) for lr in cell.rates]))
    return {
        "kind": "truth", "cell": cell.name, "steps": steps, "rates": cell.rates,
        "losses": [ended(o) for o in outcomes], "first": outcomes[0].start_loss,
    }  # fmt: skip


def truth_lane(session: Session, lr: float, steps: int, seed: int = 0) -> Lane:
    """A whole training at one rate."""
    policy = squeezed(session.problem.policy, steps)
    return Lane(lr, derive_seed(seed, "truth"), steps, session.facts.criterion, Until.END, policy)


def ended(outcome: Outcome) -> float:
    """Its loss, no more than a failed training counts."""
    loss, worst = outcome.scored_loss, WORST * outcome.start_loss
    return worst if loss is None else min(loss, worst)


@dataclass(frozen=True)
class Truth:
    """Losses at the rates of a cell and horizon."""

    cell: Cell
    steps: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @classmethod
    def of(cls, row: Row) -> Truth:
        """From its row."""
        return cls(Cell(*row["cell"].split("/")), row["steps"], tuple(row["rates"]), tuple(row["losses"]))

    @property
    def x(self) -> np.ndarray:
        """log10 of the rates."""
        return np.log10(self.rates)

    @cached_property
    def best(self) -> float:
        """log10 of the best rate: the middle of those around the lowest loss that lose at most `WINDOW` against it."""
        return sum(self.window) / 2

    @cached_property
    def window(self) -> tuple[float, float]:
        """log10 of its ends, on straight lines in the logarithm of the loss."""
        x, rise = self.x, np.log(self.losses) - np.log(min(self.losses)) - math.log(WINDOW)
        at = int(np.argmin(rise))
        return reach(x[at::-1], rise[at::-1]), reach(x[at:], rise[at:])

    def loss(self, lr: float) -> float:
        """At any rate, on straight lines in the logarithm of the loss."""
        return math.exp(float(np.interp(math.log10(lr), self.x, np.log(self.losses))))

    def ratio(self, lr: float) -> float:
        """Loss / the lowest there is."""
        return self.loss(lr) / min(self.losses)

    def nats(self, lr: float) -> float:
        """Lost against the best; half the logarithm of a squared error counts as nats."""
        if TASKS[self.cell.task].regression:
            return 0.5 * math.log(self.ratio(lr))
        return self.loss(lr) - min(self.losses)


def reach(x: np.ndarray, rise: np.ndarray) -> float:
    """How far from the first the rise stays below 0."""
    out = np.flatnonzero(rise > 0)
    if not len(out):
        return float(x[-1])
    k = out[0]
    return float(x[k - 1] + (x[k] - x[k - 1]) * rise[k - 1] / (rise[k - 1] - rise[k]))
