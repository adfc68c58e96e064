"""Designs on recorded curves: a lane is read off the curve of its length and seed, so that a search takes a millisecond.

Between two rates of the grid, and between two lengths, the loss is a straight line in its logarithm; a lane next to one that
failed failed. Off the grid's ends it is what the end is. Some searches of the record are trained for real, to say how much
that flatters.
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
        lengths = sorted({steps for steps, _ in self.curves})
        longer = next(n for n in lengths if n >= lane.steps)
        shorter = max((n for n in lengths if n <= lane.steps), default=longer)
        part = 0.0 if longer == shorter else math.log(lane.steps / shorter) / math.log(longer / shorter)
        rows = [self._row(n, index) for n in (shorter, longer)]
        ends = {key: [self._at(row, key, lane.log_lr) for row in rows] for key in ("losses", "train")}
        valid, end = (_between(shorter, longer, part) for shorter, longer in ends.values())
        whole, row = None not in ends["losses"], rows[1]
        return Outcome(
            lane=lane,
            status=LaneStatus.TRAINED if whole and valid is not None else LaneStatus.DIVERGED,
            reached=None,
            steps=lane.steps if whole else min(lane.steps, row["spent"][self._near(lane.log_lr)]),
            first_loss=row["first"],
            end_loss=math.nan if end is None else end,
            valid_loss=valid if whole else None,
            first_valid_loss=row["start"],
        )

    def _row(self, steps: int, index: int) -> Row:
        seeds = SEARCH if (steps, SEARCH[-1]) in self.curves else SHORT_SEEDS
        return self.curves[steps, seeds[index % len(seeds)]]

    def _near(self, log_lr: float) -> int:
        x = np.log10(self.cell.rates)
        return int(np.argmin(np.abs(x - log_lr)))

    def _at(self, row: Row, key: str, log_lr: float) -> float | None:
        x = np.log10(self.cell.rates)
        at = float(np.clip(log_lr, x[0], x[-1]))
        k = min(int(np.searchsorted(x, at, side="right")) - 1, len(x) - 2)
        return _between(row[key][k], row[key][k + 1], (at - x[k]) / (x[k + 1] - x[k]))


def _between(a: float | None, b: float | None, part: float) -> float | None:
    """On a straight line in the logarithm; None where an end that counts is missing."""
    if (a is None and part < 1 - 1e-9) or (b is None and part > 1e-9):
        return None
    if a is None or b is None:
        return a if b is None else b
    return math.exp((1 - part) * math.log(max(a, 1e-12)) + part * math.log(max(b, 1e-12)))
