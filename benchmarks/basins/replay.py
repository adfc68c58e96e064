"""Designs on recorded curves: a lane is read off the curve of its length and seed, so that a search takes a millisecond.

Between two rates of the grid the loss is a straight line in its logarithm; a lane next to one that failed failed. Off the
grid's ends it is what the end is. `confirmed` of `score` says what the real trainings of `find` give on the same cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.basins.tasks import Cell
from benchmarks.basins.truth import SEARCH, SHORT_SEEDS, Row
from etastar.core.design import Design, Engine, run
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.core.problem import Problem


@dataclass
class Replay:
    """A `Store` whose lanes are those of the curves of one cell.

    Args:
        curves: rows by (steps, seed).
        seed: index of the search's first seed; each further seed it asks for is the next one.
    """

    cell: Cell
    curves: dict[tuple[int, int], Row]
    seed: int
    _seeds: list[int] = field(default_factory=list, init=False)

    def run(self, design: Design[Any]) -> Any:
        """The design's answer."""
        return run(design, None, None, self)  # type: ignore[arg-type]

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """See `Store`."""
        return Runs(map(self._outcome, lanes))

    def _outcome(self, lane: Lane) -> Outcome:
        if lane.seed not in self._seeds:
            self._seeds.append(lane.seed)
        index = self.seed + self._seeds.index(lane.seed)
        seeds = SHORT_SEEDS if (lane.steps, SEARCH[-1]) not in self.curves else SEARCH
        row = self.curves[lane.steps, seeds[index % len(seeds)]]
        x = np.log10(self.cell.rates)
        at = float(np.clip(lane.log_lr, x[0], x[-1]))
        k = min(int(np.searchsorted(x, at, side="right")) - 1, len(x) - 2)
        part = (at - x[k]) / (x[k + 1] - x[k])
        near = round(part) + k
        valid, train = (_between(row[key][k], row[key][k + 1], part) for key in ("losses", "train"))
        failed = valid is None
        return Outcome(
            lane=lane,
            status=LaneStatus.DIVERGED if failed else LaneStatus.TRAINED,
            reached=None,
            steps=row["spent"][near],
            first_loss=row["first"],
            end_loss=math.nan if failed or train is None else train,
            valid_loss=valid,
            first_valid_loss=row["start"],
        )


def _between(a: float | None, b: float | None, part: float) -> float | None:
    """On a straight line in the logarithm; None where an end that counts is missing."""
    if (a is None and part < 1 - 1e-9) or (b is None and part > 1e-9):
        return None
    if a is None or b is None:
        return a if b is None else b
    return math.exp((1 - part) * math.log(max(a, 1e-12)) + part * math.log(max(b, 1e-12)))
