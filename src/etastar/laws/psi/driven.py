"""`Ratio`: what fresh runs under one policy are worth against another's, over tasks that are no siblings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar.core.estimate import Estimate, Status
from etastar.core.randomness import derive_seed
from etastar.laws.psi.ideal import log_ratio

DRAWS = 2000
MARGIN = 0.01
"""A task is won or lost where the mean differs by more than this share: below it lies what eight seeds cannot tell."""


@dataclass(frozen=True)
class Ratio:
    """Final losses of one arm against another, task by task, on the same seeds.

    Args:
        logs: task -> (family, group, ln(final / reference) of every seed).
    """

    logs: Mapping[str, tuple[str, str, tuple[float, ...]]]

    @classmethod
    def of(cls, losses: Mapping[str, tuple[str, str, Sequence[float], Sequence[float]]]) -> Ratio:
        """From task -> (family, group, losses of the arm, of the reference); a broken lane counts e^2, two are alike."""
        return cls(
            {
                task: (family, group, tuple(map(_log_ratio, arm, reference)))
                for task, (family, group, arm, reference) in losses.items()
            }
        )

    @property
    def by_task(self) -> dict[str, float]:
        """Geometric mean over seeds."""
        return {task: math.exp(statistics.fmean(logs)) for task, (_, _, logs) in self.logs.items()}

    @property
    def median(self) -> float:
        """Over tasks."""
        return statistics.median(self.by_task.values())

    @property
    def record(self) -> tuple[int, int, int]:
        """Tasks won, tied and lost."""
        ratios = self.by_task.values()
        won, lost = sum(r < 1 - MARGIN for r in ratios), sum(r > 1 + MARGIN for r in ratios)
        return won, len(ratios) - won - lost, lost

    def mean(self, level: float = 0.9) -> Estimate:
        """Geometric mean over tasks; the interval resamples groups, families in a group, and seeds."""
        if not self.logs:
            return Estimate.none(Status.TOO_FEW_POINTS, "no task was driven", unit="ratio of final losses")
        value = math.exp(statistics.fmean(statistics.fmean(logs) for _, _, logs in self.logs.values()))
        tree: dict[str, dict[str, list[tuple[float, ...]]]] = {}
        for family, group, logs in self.logs.values():
            tree.setdefault(group, {}).setdefault(family, []).append(logs)
        rng = np.random.default_rng(derive_seed(0, "psi", "ratio"))
        low, high = np.quantile(np.exp(_resampled(tree, rng)), [(1 - level) / 2, (1 + level) / 2])
        return Estimate(
            value,
            min(float(low), value),
            max(float(high), value),
            level,
            "ratio of final losses",
            len(self.logs),
            "bootstrap over groups, families and seeds",
        )


Tree = Mapping[str, Mapping[str, Sequence[tuple[float, ...]]]]
"""Group -> family -> seeds of each of its tasks."""


def _resampled(tree: Tree, rng: np.random.Generator) -> NDArray[np.float64]:
    """The mean over tasks of each of `DRAWS` draws: groups, families in each of them, and seeds in each task."""
    groups = [[[np.asarray(logs) for logs in family] for family in families.values()] for families in tree.values()]
    total, tasks = np.zeros(DRAWS), np.zeros(DRAWS)
    for drawn in rng.integers(len(groups), size=(len(groups), DRAWS)):
        for g, families in enumerate(groups):
            mine = np.flatnonzero(drawn == g)
            for chosen in rng.integers(len(families), size=(len(families), len(mine))):
                for f, family in enumerate(families):
                    own = mine[chosen == f]
                    for logs in family:
                        total[own] += logs[rng.integers(len(logs), size=(len(own), len(logs)))].mean(1)
                    tasks[own] += len(family)
    return total / tasks


def _log_ratio(final: float, reference: float) -> float:
    """Two broken lanes are alike."""
    return log_ratio(final, reference) if math.isfinite(final) or math.isfinite(reference) else 0.0
