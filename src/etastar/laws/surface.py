"""`SurfaceLaw`: the final loss over learning rate, schedule and horizon, and where it is smallest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from etastar.core.estimate import Estimate, Status
from etastar.core.randomness import derive_seed
from etastar.core.told import Range
from etastar.laws.law import Record
from etastar.laws.schedule_fit import FEWEST, ScheduleFit, fit_schedule

Array = NDArray[np.float64]
GRID = 161
DRAWS = 400
PLATEAU = 1.02
"""The plateau holds the rates whose predicted loss is at most this many times the smallest."""
ROUNDING = 1e-6


@dataclass(frozen=True)
class PredictedLoss:
    """The expected final loss at one rate."""

    lr: float
    loss: float
    low: float
    high: float


class SurfaceLaw:
    """Per schedule a Gaussian process of the median log loss over (log10 lr, log10 horizon). A `Law`.

        log loss(seed, lr, horizon) = f(lr, horizon) + shift(seed) + noise

    All rates share their seeds, so a seed's shift moves the whole curve: it widens the interval of the loss and not that
    of the best rate. What cells know of f is the median over seeds; rates at which half of them or more diverged belong
    to no loss and end the law's range.

    >>> from etastar.problems.quadratic import loss_curve
    >>> rates = [10 ** (k / 4 - 2) for k in range(9)]
    >>> law = SurfaceLaw.fit([Record(r, "constant", 20, 0, float(loss_curve(r, 21)[-1])) for r in rates])
    >>> law.predict(0.25, "constant", 20).ok, law.predict(5.0, "constant", 20).status.value
    (True, 'outside-the-law')
    """

    def __init__(self, fits: Mapping[str, ScheduleFit], refused: Mapping[str, str], level: float) -> None:
        self._fits, self._refused, self.level = dict(fits), dict(refused), level
        self._best: dict[tuple[str, int], tuple[Array, Array, Array]] = {}

    @classmethod
    def fit(cls, records: Sequence[Record], level: float = 0.9) -> Self:
        """The law of `records`; schedules with too few rates that train stay without one, and say so."""
        fits: dict[str, ScheduleFit] = {}
        refused: dict[str, str] = {}
        for schedule in dict.fromkeys(r.schedule for r in records):
            own = [r for r in records if r.schedule == schedule]
            fitted = fit_schedule(own)
            if fitted is None:
                refused[schedule] = (
                    f"fewer than {FEWEST} rates of schedule {schedule} train at every horizon; measure more rates"
                )
            else:
                fits[schedule] = fitted
        return cls(fits, refused, level)

    @property
    def schedules(self) -> list[str]:
        """Those it can say something about."""
        return list(self._fits)

    def predict(self, lr: float, schedule: str, horizon: int) -> Estimate:
        """The median final loss over fresh seeds, or why it is not known there.

        Args:
            lr: peak learning rate.
            schedule: one that was measured.
            horizon: steps, between the shortest and the longest measured.
        """
        fitted, refusal = self._where(schedule, horizon, unit="loss")
        if refusal or fitted is None:
            return refusal or self._unknown(schedule, "loss")
        hull = fitted.hull(horizon)
        assert hull is not None
        if not hull.low * (1 - ROUNDING) <= lr <= hull.high * (1 + ROUNDING):
            side = "below" if lr < hull.low else "above"
            return self._outside(
                f"lr {lr:.3g} is {side} the rates that train with {schedule} over {horizon} steps ({hull.low:.3g} .. "
                f"{hull.high:.3g}); measure it, or ask between them",
                "loss",
            )
        (point,) = self._points(fitted, np.array([math.log10(lr)]), horizon)
        return Estimate(point.loss, point.low, point.high, self.level, "loss", fitted.n, "Gaussian process over log lr")

    def curve(self, schedule: str, horizon: int, points: int = 81) -> tuple[PredictedLoss, ...]:
        """Predictions at `points` rates over the law's range; empty where it has nothing to say."""
        fitted, refusal = self._where(schedule, horizon, unit="loss")
        if refusal or fitted is None:
            return ()
        return tuple(self._points(fitted, self._grid(fitted, horizon, points), horizon))

    def best_lr(self, schedule: str, horizon: int) -> Estimate:
        """The rate with the smallest final loss, with the interval of the optimum itself; or why there is none."""
        fitted, refusal = self._where(schedule, horizon)
        if refusal or fitted is None:
            return refusal or self._unknown(schedule)
        hull = fitted.hull(horizon)
        assert hull is not None
        grid, mean, draws = self._optima(schedule, horizon)
        at = int(np.argmin(mean))
        if at in (0, len(grid) - 1) and (hull.below if at == 0 else hull.above) is None:
            side = "lowest" if at == 0 else "highest"
            return Estimate.none(
                Status.EDGE_OF_RANGE,
                f"the loss of {schedule} over {horizon} steps still falls at {10 ** grid[at]:.3g}, the {side} rate measured",
                **({"high": 10 ** float(grid[at])} if at == 0 else {"low": 10 ** float(grid[at])}),
                n=fitted.n,
            )
        tail = (1 - self.level) / 2
        low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
        low, high = 10 ** min(low, float(grid[at])), 10 ** max(high, float(grid[at]))
        if at == len(grid) - 1 and hull.above is not None:
            high = max(high, hull.above)
        if at == 0 and hull.below is not None:
            low = min(low, hull.below)
        value = 10 ** float(grid[at])
        return Estimate(value, low, high, self.level, n=fitted.n, method="smallest loss of a Gaussian process over log lr")

    def plateau(self, schedule: str, horizon: int) -> Range | None:
        """Rates around the best one whose predicted loss is at most `PLATEAU` x the smallest."""
        if not self.best_lr(schedule, horizon).ok:
            return None
        fitted = self._fits[schedule]
        grid, mean, _ = self._optima(schedule, horizon)
        margin = math.log(PLATEAU) if fitted.logs else (PLATEAU - 1) * max(abs(float(mean.min())), 1e-12)
        inside = mean <= mean.min() + margin
        at = int(np.argmin(mean))
        first, last = at, at
        while first > 0 and inside[first - 1]:
            first -= 1
        while last < len(grid) - 1 and inside[last + 1]:
            last += 1
        return Range(10 ** float(grid[first]), 10 ** float(grid[last]))

    def horizon_exponent(self, schedule: str) -> Estimate:
        """gamma of best lr ~ horizon^-gamma, by least squares over the measured horizons in every draw of the process."""
        unit = "exponent of the horizon"
        if schedule not in self._fits:
            return self._unknown(schedule, unit)
        fitted = self._fits[schedule]
        horizons = sorted(fitted.hulls)
        if len(horizons) < 2:
            return Estimate.none(Status.TOO_FEW_POINTS, "one horizon was measured; give two or more", unit=unit)
        for horizon in horizons:
            if not (best := self.best_lr(schedule, horizon)).ok:
                reason = f"the best rate over {horizon} steps is not known: {best.reason}"
                return Estimate.none(best.status, reason, unit=unit)
            if self._at_the_end(schedule, horizon):
                reason = f"the best rate over {horizon} steps is the last one that trains; measure closer rates around it"
                return Estimate.none(Status.EDGE_OF_RANGE, reason, unit=unit)
        grids = [self._grid(fitted, horizon, GRID) for horizon in horizons]
        points = np.concatenate([fitted.inputs(g, h) for g, h in zip(grids, horizons, strict=True)])
        draws = fitted.process.draws(points, DRAWS, derive_seed(0, "exponent", schedule)).reshape(DRAWS, len(horizons), GRID)
        mean = fitted.process.posterior(points)[0].reshape(1, len(horizons), GRID)
        x = np.log10(horizons) - np.log10(horizons).mean()
        slopes = []
        for functions in (mean, draws):
            best = np.stack([g[functions[:, i].argmin(1)] for i, g in enumerate(grids)], axis=1)
            slopes.append(-(best @ x) / (x @ x))
        tail = (1 - self.level) / 2
        low, high = (float(q) for q in np.quantile(slopes[1], [tail, 1 - tail]))
        value = float(slopes[0][0])
        method = "slope of log best lr over log horizon, in draws of the Gaussian process"
        return Estimate(value, min(low, value), max(high, value), self.level, unit, fitted.n, method)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _where(self, schedule: str, horizon: int, unit: str = "learning rate") -> tuple[ScheduleFit | None, Estimate | None]:
        """The schedule's fit, or the refusal."""
        fitted = self._fits.get(schedule)
        if fitted is None:
            return None, self._unknown(schedule, unit)
        hull = fitted.hull(horizon)
        if hull is None:
            low, high = min(fitted.hulls), max(fitted.hulls)
            text = f"{horizon} steps are outside the measured horizons of {schedule} ({low} .. {high}); measure them"
            return None, self._outside(text, unit)
        if hull.rates < FEWEST or hull.low >= hull.high:
            text = f"fewer than {FEWEST} rates train with {schedule} over {horizon} steps; measure more rates"
            return None, Estimate.none(Status.TOO_FEW_POINTS, text, unit=unit, level=self.level)
        return fitted, None

    def _unknown(self, schedule: str, unit: str = "learning rate") -> Estimate:
        if schedule in self._refused:
            return Estimate.none(Status.TOO_FEW_POINTS, self._refused[schedule], unit=unit, level=self.level)
        known = ", ".join([*self._fits, *self._refused]) or "none"
        return self._outside(f"schedule {schedule} was not measured, only {known}; add it to the schedules", unit)

    def _outside(self, reason: str, unit: str) -> Estimate:
        return Estimate.none(Status.OUTSIDE_THE_LAW, reason, unit=unit, level=self.level)

    def _grid(self, fitted: ScheduleFit, horizon: int, points: int) -> Array:
        hull = fitted.hull(horizon)
        assert hull is not None
        return np.linspace(math.log10(hull.low), math.log10(hull.high), points)

    def _points(self, fitted: ScheduleFit, log_lr: Array, horizon: int) -> Iterable[PredictedLoss]:
        mean, covariance = fitted.process.posterior(fitted.inputs(log_lr, horizon))
        quantile = (1 + self.level) / 2
        shift = stdtrit(fitted.seeds - 1, quantile) * fitted.level_sd if fitted.seeds > 1 else 0.0
        half = np.hypot(ndtri(quantile) * np.sqrt(np.clip(np.diag(covariance), 0.0, None)), shift)
        rows = zip(log_lr, fitted.loss(mean), fitted.loss(mean - half), fitted.loss(mean + half), strict=True)
        return [PredictedLoss(10 ** float(x), *map(float, rest)) for x, *rest in rows]

    def _at_the_end(self, schedule: str, horizon: int) -> bool:
        """Whether the loss is smallest at an end of the range: draws of the process say nothing of how far it lies."""
        grid, mean, _ = self._optima(schedule, horizon)
        return int(np.argmin(mean)) in (0, len(grid) - 1)

    def _optima(self, schedule: str, horizon: int) -> tuple[Array, Array, Array]:
        """Grid of log10 lr, the process's mean over it, and the optimum of each draw."""
        key = (schedule, horizon)
        if key not in self._best:
            fitted = self._fits[schedule]
            grid = self._grid(fitted, horizon, GRID)
            points = fitted.inputs(grid, horizon)
            draws = fitted.process.draws(points, DRAWS, derive_seed(0, "best lr", schedule, horizon))
            self._best[key] = grid, fitted.process.posterior(points)[0], grid[draws.argmin(1)]
        return self._best[key]
