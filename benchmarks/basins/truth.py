"""The curves: what every rate ends at, for every length and seed. A row a length and seed, kept as it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.basins.tasks import HORIZONS, TASKS, Cell, cells
from benchmarks.long_horizon.truth import reach
from etastar.core.lane import Lane, Outcome, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.fixed_lanes import FixedLanes
from etastar.policies.compose import squeezed
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

Row = dict[str, Any]
SHORT = (20, 25, 50, 100, 200, 400)
"""Lengths of lanes, beside the horizons: what searches of either horizon ask for."""
SEARCH, TRUE = range(5), (*range(10, 13), *range(20, 23))
"""Indices of seeds: of searches, and of the truth."""
SHORT_SEEDS = SEARCH[:3]
NATS, SHARE = 0.05, 1.05
"""A rate is good if it loses less than so many nats; on the second bar, if its loss is at most so many times the lowest."""
WORST = 1.5
"""A failed training counts as this many times the loss at the start."""


def recorded(folder: Path, tasks: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of all cells; those that are in `folder` are read."""
    folder.mkdir(parents=True, exist_ok=True)
    for cell in cells(tuple(tasks)):
        if cell.steps == max(HORIZONS):
            path = folder / f"{cell.task}-{cell.optimizer}-{cell.schedule}.jsonl"
            known = read(path)
            missing = [key for key in wanted() if key not in known]
            with path.open("a", buffering=1) as file:
                for row in _trained(cell, missing):
                    known[row["steps"], row["seed"]] = row
                    file.write(json.dumps(row) + "\n")
            yield from known.values()


def read(path: Path) -> dict[tuple[int, int], Row]:
    """(steps, seed) -> row of a file."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["steps"], row["seed"]): row for row in map(json.loads, lines)}


def wanted(horizon: int = max(HORIZONS)) -> list[tuple[int, int]]:
    """(length, seed) of the rows that a horizon needs; of the longest one, all there are."""
    short = [(n, s) for n in SHORT if n <= horizon for s in SHORT_SEEDS]
    return list(dict.fromkeys(short + [(n, s) for n in HORIZONS if n <= horizon for s in (*SEARCH, *TRUE)]))


def _trained(cell: Cell, missing: Sequence[tuple[int, int]]) -> Iterator[Row]:
    """One row a length and seed; all rates of a length train together."""
    if not missing:
        return
    with Workplace(Options(store=":memory:", workers=1)) as place:
        session = place.of(cell.problem())
        for steps in sorted({n for n, _ in missing}):
            seeds = [s for n, s in missing if n == steps]
            policy = squeezed(session.problem.policy, steps)
            lanes = [
                Lane(quantise(lr), derive_seed(0, "basins", s), steps, session.facts.criterion, Until.END, policy)
                for s in seeds
                for lr in cell.rates
            ]
            found, size = session.run(FixedLanes(lanes)), len(cell.rates)
            for i, seed in enumerate(seeds):
                yield _row(cell, steps, seed, found[i * size : (i + 1) * size])


def _row(cell: Cell, steps: int, seed: int, outcomes: Sequence[Outcome]) -> Row:
    rounded = lambda x: None if x is None or not math.isfinite(x) else float(f"{x:.5g}")
    return {
        "kind": "curve", "cell": cell.over(max(HORIZONS)).name, "steps": steps, "seed": seed,
        "start": outcomes[0].start_loss, "first": outcomes[0].first_loss,
        "losses": [rounded(o.scored_loss) for o in outcomes],
        "train": [rounded(o.end_loss) for o in outcomes],
        "accuracy": [rounded(o.valid_accuracy) for o in outcomes],
        "spent": [o.spent for o in outcomes],
    }  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is true of a cell.

    Args:
        x: log10 of the rates.
        nats: of each, mean over seeds that no search has seen; failures filled in.
    """

    cell: Cell
    x: np.ndarray
    nats: np.ndarray

    @classmethod
    def of(cls, cell: Cell, curves: dict[tuple[int, int], Row]) -> Truth:
        """From its rows, by (steps, seed)."""
        in_nats = lambda row: list(map(TASKS[cell.task].nats, filled(row)))
        nats = np.array([in_nats(curves[cell.steps, seed]) for seed in TRUE])
        return cls(cell, np.log10(cell.rates), nats.mean(0))

    @cached_property
    def best(self) -> float:
        """log10 of the best rate."""
        return float(self.x[int(np.argmin(self.nats))])

    @cached_property
    def window(self) -> tuple[float, float]:
        """log10 of the rates around the best within `NATS` of it, on straight lines."""
        rise, at = self.nats - self.nats.min() - NATS, int(np.argmin(self.nats))
        return reach(self.x[at::-1], rise[at::-1]), reach(self.x[at:], rise[at:])

    @property
    def centre(self) -> float:
        """log10 of the window's middle."""
        return sum(self.window) / 2

    def at(self, lr: float) -> float:
        """Nats at a rate."""
        return float(np.interp(math.log10(lr), self.x, self.nats))

    def regret(self, lr: float) -> float:
        """Nats lost against the best."""
        return self.at(lr) - float(self.nats.min())

    def ratio(self, lr: float) -> float:
        """Loss / the lowest; of squared errors, theirs."""
        if TASKS[self.cell.task].regression:
            return math.exp(2 * self.regret(lr))
        return self.at(lr) / float(self.nats.min())


def filled(row: Row) -> list[float]:
    """The losses of a row, failures and those above counted as `WORST` times the start."""
    worst = WORST * row["start"]
    return [worst if v is None else min(v, worst) for v in row["losses"]]
