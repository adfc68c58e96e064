"""What `SurfaceLaw` knows of one schedule: a Gaussian process, and the range of rates that trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar.laws.gaussian_process import GaussianProcess
from etastar.laws.law import Record, median

Array = NDArray[np.float64]
Cell = tuple[int, float]
"""(horizon, log10 lr)."""
FEWEST = 4
"""Rates that trained, below which nothing is fitted."""


@dataclass(frozen=True)
class Hull:
    """Where rates trained at one horizon: lowest and highest of them, and the next rates tried beyond, which did not."""

    low: float
    high: float
    above: float | None
    below: float | None
    rates: int


@dataclass(frozen=True)
class ScheduleFit:
    """What is known of one schedule.

    Args:
        process: of log loss (of the loss, where a loss is not positive) over log10 lr and log10 horizon.
        hulls: horizon -> rates that trained.
        logs: whether the losses are logarithms.
        level_sd, seeds: sd of the mean of the seeds' common shifts, and how many seeds it rests on.
        n: records.
    """

    process: GaussianProcess
    hulls: Mapping[int, Hull]
    logs: bool
    level_sd: float
    seeds: int
    n: int

    def inputs(self, log_lr: Array, horizon: float) -> Array:
        """[N, D] inputs of the process; a single horizon is no input."""
        columns = [log_lr] + ([np.full(len(log_lr), math.log10(horizon))] if len(self.hulls) > 1 else [])
        return np.stack(columns, axis=1)

    def hull(self, horizon: int) -> Hull | None:
        """Rates that trained at the measured horizons on both sides; None outside of all horizons."""
        below = [h for h in self.hulls if h <= horizon]
        above = [h for h in self.hulls if h >= horizon]
        if not below or not above:
            return None
        a, b = self.hulls[max(below)], self.hulls[min(above)]
        beyond = [x for x in (a.above, b.above) if x is not None]
        under = [x for x in (a.below, b.below) if x is not None]
        return Hull(
            max(a.low, b.low),
            min(a.high, b.high),
            min(beyond) if len(beyond) == 2 else None,
            max(under) if len(under) == 2 else None,
            min(a.rates, b.rates),
        )

    def loss(self, y: Array) -> Array:
        """Back from the process's unit."""
        return np.exp(y) if self.logs else y


def fit_schedule(records: Sequence[Record]) -> ScheduleFit | None:
    """The fit of one schedule; None when no horizon has enough rates that train."""
    logs = all(r.loss > 0 for r in records)
    cells: dict[Cell, dict[int, float]] = {}
    for r in records:
        value = (math.log(r.loss) if logs else r.loss) if math.isfinite(r.loss) else math.inf
        cells.setdefault((r.horizon, r.log_lr), {})[r.seed] = value
    middle = {key: median(values.values()) for key, values in cells.items()}
    known = {key: m for key, m in middle.items() if math.isfinite(m)}
    hulls = {h: hull for h in sorted({h for h, _ in cells}) if (hull := _hull(h, middle))}
    if not any(hull.rates >= FEWEST for hull in hulls.values()):
        return None
    shifts = _seed_shifts({key: cells[key] for key in known}, known)
    residuals = [
        value - known[key] - shifts[seed] for key in known for seed, value in cells[key].items() if math.isfinite(value)
    ]
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    variance = np.array([_of_median(len(cells[key])) * spread**2 for key in known])
    columns = [np.array([x for _, x in known])] + ([np.log10([h for h, _ in known])] if len(hulls) > 1 else [])
    process = GaussianProcess.fit(np.stack(columns, axis=1), np.array(list(known.values())), variance)
    seeds = len(shifts)
    level_sd = float(np.std(list(shifts.values()), ddof=1) * math.sqrt(_of_median(seeds))) if seeds > 1 else 0.0
    return ScheduleFit(process, hulls, logs, level_sd, seeds, len(records))


def _of_median(n: int) -> float:
    """Variance of the median of n normal values, in units of theirs: pi / 2n, and 1 for one."""
    return 1.0 if n == 1 else math.pi / (2 * n)


def _seed_shifts(cells: Mapping[Cell, Mapping[int, float]], middle: Mapping[Cell, float]) -> dict[int, float]:
    """seed -> median over cells of its value minus the cell's."""
    found: dict[int, list[float]] = {}
    for key, values in cells.items():
        for seed, value in values.items():
            if math.isfinite(value):
                found.setdefault(seed, []).append(value - middle[key])
    return {seed: float(np.median(values)) for seed, values in found.items()}


def _hull(horizon: int, middle: Mapping[Cell, float]) -> Hull | None:
    tried = sorted(x for h, x in middle if h == horizon)
    trained = [x for x in tried if math.isfinite(middle[horizon, x])]
    if not trained:
        return None
    above = next((10**x for x in tried if x > trained[-1]), None)
    below = next((10**x for x in reversed(tried) if x < trained[0]), None)
    return Hull(10 ** trained[0], 10 ** trained[-1], above, below, len(trained))
