"""Shares of few cases: exact intervals, and ranges over tasks that are resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from scipy.stats import beta

Case = TypeVar("Case")
DRAWS = 4000


def clopper_pearson(held: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share.

    >>> [round(x, 3) for x in clopper_pearson(9, 10)], clopper_pearson(10, 10)[1]
    ([0.555, 0.997], 1.0)
    """
    tail = (1 - level) / 2
    low = 0.0 if held == 0 else float(beta.ppf(tail, held, n - held + 1))
    high = 1.0 if held == n else float(beta.ppf(1 - tail, held + 1, n - held))
    return low, high


def by_task(cases: Iterable[Case], task: Callable[[Case], str], of: Callable[[Case], float]) -> dict[str, float]:
    """Task -> mean of its cases.

    >>> by_task(["a1", "a3", "b5"], lambda case: case[0], lambda case: int(case[1]))
    {'a': 2.0, 'b': 5.0}
    """
    found: dict[str, list[float]] = {}
    for case in cases:
        found.setdefault(task(case), []).append(float(of(case)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def over_tasks(means: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean over tasks of equal weight and its interval, tasks resampled: cases of one task resemble each other.

    >>> over_tasks([0.5, 0.5])
    (0.5, 0.5, 0.5)
    """
    values = np.array(list(means))
    drawn = values[np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))].mean(1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def holm_below(counts: Iterable[tuple[int, int]], bar: float, alpha: float = 0.05) -> int:
    """How many of the shares (held, n) lie below `bar` for sure: exact one-sided tests, Holm's correction.

    >>> holm_below([(2, 20), (19, 20), (20, 20)], bar=0.85)
    1
    """
    from scipy.stats import binomtest

    values = sorted(float(binomtest(held, n, bar, alternative="less").pvalue) for held, n in counts)
    sure = 0
    for rank, value in enumerate(values):
        if value > alpha / (len(values) - rank):
            break
        sure += 1
    return sure
