"""Rehearses a search on the stored curves: a lane is read off, not trained, so that a thousand searches take a minute."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.bakeoff.curves import ORACLE_SEEDS, STEP
from benchmarks.bakeoff.truth import WORST, Curve, curves
from etastar.core.design import Design, run
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.core.problem import Problem

Answer = TypeVar("Answer")


class StoredLanes:
    """An `Engine` that reads lanes off the curves of one combination, straight lines between the rates of the grid.

    Args:
        combination: "task/optimizer/schedule".
        seed: index of the curves that stand for the lanes' seed.
    """

    name = "rehearsal"

    def __init__(self, combination: str, seed: int) -> None:
        self._curves, self._seed = curves(combination), seed

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome)."""
        for index, lane in enumerate(lanes):
            yield index, self._read(lane)

    def _read(self, lane: Lane) -> Outcome:
        curve = self._curve(lane.steps)
        x = lane.log_lr
        logs = np.log(curve.capped)
        loss = float(np.exp(np.interp(x, curve.x, logs)))
        spent = int(np.interp(x, curve.x, curve.spent))
        failed = x > curve.x[-1] + STEP or loss >= 0.999 * WORST * curve.first
        if failed:
            return Outcome(lane, LaneStatus.DIVERGED, None, spent, curve.first, math.nan)
        if x < curve.x[0]:
            loss = curve.first * (loss / curve.first) ** (10.0 ** (x - curve.x[0]))  # slower still: less is learned
        return Outcome(lane, LaneStatus.TRAINED, None, spent, curve.first, loss, valid_loss=loss)

    def _curve(self, steps: int) -> Curve:
        length = min({n for n, _ in self._curves}, key=lambda n: abs(math.log(n / steps)))
        seed = self._seed if (length, self._seed) in self._curves else ORACLE_SEEDS[self._seed % len(ORACLE_SEEDS)]
        return self._curves[length, seed]


class _NoStore:
    def get_or_train(self, engine: StoredLanes, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        return Runs(outcome for _, outcome in sorted(engine.train(problem, lanes), key=lambda pair: pair[0]))


_UNSEEN = Problem.from_loop(lambda lr, seed, report: None, steps=1)


def rehearse(design: Design[Answer], combination: str, seed: int) -> Answer:
    """Run `design` on stored curves."""
    return run(design, _UNSEEN, StoredLanes(combination, seed), _NoStore())  # type: ignore[arg-type]
