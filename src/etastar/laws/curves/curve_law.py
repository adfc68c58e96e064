"""`CurveLaw`: fitted to loss curves, it predicts the curve under another schedule, loss by loss, or says why not."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from etastar.core.estimate import Estimate, Status
from etastar.core.randomness import derive_seed
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.conditions import FEWEST, SAME_PEAK, each_point, few_for_one, outside, unfit
from etastar.laws.curves.curve import Array, Curve, checked_rates, warmup_of
from etastar.laws.curves.predicted import Predicted
from etastar.laws.curves.separable import Exponent, Fit, Separable

DELTA = (1e-3, 2e-2)
"""Bounds of Huber's delta: language models' losses repeat to 5e-4 - 1e-3 of themselves, small tasks' to 5e-3."""
DELTA_PER_NOISE = 1.5
"""Huber's delta in standard deviations of the noise of a curve."""
BLOCK, REFITS = 16, 24
"""Neighbouring residuals that are drawn together, and how many fits to drawn curves an interval rests on."""
DISCREPANCY = 0.0016
"""Relative standard deviation of what the law itself lacks. Resampling alone covers 26 - 51 % of unseen losses at nominal
90 %; with it, 91 - 99 % on 25M, 100M and 124M, at twice the steps fitted, too."""
PEAK_DISCREPANCY = 0.012
"""The same for a factor of 2 between peaks: errors of .027 - .034 nats at losses of 3 (124M)."""
HALFWAY = 1.5
"""Where the error of a law fitted to the first half of its only curve, averaged over the second half, is taken to stand:
the error grows as the logarithm of how far beyond the last loss it speaks."""
POINTS = 200


@dataclass(frozen=True, eq=False)
class CurveLaw(ABC):
    """A law of loss curves under learning-rate schedules.

    A law gives `columns`, whose coefficients are linear, and the exponents inside them (`exponents_of`). The interval adds
    in squares refits to curves made of the law and blocks of its own residuals, in which given numbers are drawn, too
    (`drawn`), and the discrepancy between law and world (`DISCREPANCY`, at least the residuals' rms).

    Args:
        curves: fitted, without their first losses.
        reference: the largest rate among them.
        found: the fit; None where there is nothing to fit.
        free: exponents that were fitted.
        delta: Huber's, relative.
        refusal: why nothing was fitted.
        level: probability of the intervals.
    """

    name: ClassVar[str]
    rises: ClassVar[bool] = False
    """Whether it may be asked about a rate that rises after the warm-up."""
    peaks: ClassVar[bool] = False
    """Whether it may be asked about another peak."""

    curves: tuple[Curve, ...]
    reference: float
    found: Fit | None
    free: tuple[Exponent, ...]
    delta: float
    refusal: str | None
    level: float

    @classmethod
    @abstractmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """Exponents that these curves can tell, and the others' values."""

    @classmethod
    @abstractmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, M], one row for each step of the clock; their coefficients are fitted, and >= 0."""

    @classmethod
    def drawn(cls, given: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        """Values of the exponents that were not fitted, as they might have been."""
        return given

    @classmethod
    def fit(
        cls,
        curves: Sequence[Curve],
        *,
        level: float = 0.9,
        starts: int = 2,
        given: dict[str, float] | None = None,
    ) -> Self:
        """The law of these curves; such that cannot carry one make a law that refuses.

        Args:
            curves: of trainings of one task that differ in schedule and length; points in the warm-up are left out.
            level: probability of the intervals.
            starts: of the fit; one optimum is found from each.
            given: exponents that are not fitted, e.g. from another size.
        """
        kept = tuple(c.fitted for c in curves)
        reference = max((c.peak for c in kept), default=math.nan)
        if reason := unfit(kept):
            return cls(kept, reference, None, (), DELTA[0], reason, level)
        free, fixed = cls.exponents_of(kept)
        fixed = fixed | (given or {})
        free = [p for p in free if p.name not in fixed]
        delta = float(np.clip(DELTA_PER_NOISE * np.median([c.noise for c in kept]), *DELTA))
        model = _model(cls, kept, reference, delta)
        return cls(kept, reference, model.fit(free, fixed, starts), tuple(free), delta, None, level)

    @property
    def exponents(self) -> dict[str, float]:
        """By name, given ones among them."""
        return self.found.exponents if self.found else {}

    @property
    def coefficients(self) -> Array:
        """Of the columns, then the offset of shifted losses, where there are any."""
        return self.found.coefficients if self.found else np.zeros(0)

    @property
    def rms(self) -> float:
        """Of the residuals, relative; those beyond 3 medians count as that much."""
        size = np.abs(self.found.residuals) if self.found else np.zeros(1)
        return float(np.sqrt(np.mean(np.minimum(size, 3 * 1.4826 * np.median(size)) ** 2)))

    def values(self, rates: ArrayLike, steps: ArrayLike) -> Array:
        """[N] the law's number at each step under these rates, whether it holds there or not."""
        if self.found is None:
            return np.full(np.shape(steps), np.nan)
        return _values(type(self), self.found, Clock.of(rates, self.reference, steps))

    def predict(self, rates: ArrayLike, steps: ArrayLike | None = None) -> Predicted:
        """The loss curve under these rates, with intervals for single losses.

        Args:
            rates: [T] the rate of each update from the first one on, what was trained already included.
            steps: where losses are asked for; default: up to `POINTS`, from the end of the warm-up to T.

        Raises:
            ProblemError: rates that cannot be.
        """
        rates = checked_rates(rates)
        at = _asked(rates, steps)
        none = {"level": self.level, "unit": "loss", "n": len(self.curves), "method": self.name}
        enough = FEWEST if len(self.curves) > 1 else 2 * FEWEST
        few = Status.TOO_FEW_POINTS if sum(len(c.steps) for c in self.curves) < enough else Status.OUTSIDE_THE_LAW
        status = few if self.refusal or few_for_one(self.curves) else Status.OUTSIDE_THE_LAW
        clock = Clock.of(rates, self.reference, at)
        reasons = self._silent(clock)
        if all(reasons):
            return Predicted(at, tuple(Estimate.none(status, reason, **none) for reason in reasons))
        values, half = self.values(rates, at), float(ndtri((1 + self.level) / 2)) * self.spread(clock)
        return Predicted(
            at,
            tuple(
                Estimate.none(status, reason, **none)
                if reason
                else Estimate(float(v), float(max(v - h, 0.0)), float(v + h), **none)
                for v, h, reason in zip(values, half, reasons, strict=True)
            ),
        )

    def spoken(self, rates: ArrayLike, steps: ArrayLike) -> Array:
        """[N] the values of `predict`, NaN where it refuses: without intervals, for which most of its time goes."""
        rates = checked_rates(rates)
        silent = self._silent(Clock.of(rates, self.reference, steps))
        return np.where(np.array(silent) != "", np.nan, self.values(rates, steps))

    def _silent(self, clock: Clock) -> list[str]:
        """Why nothing is said of each step; "" where something is."""
        whole = self.refusal or few_for_one(self.curves)
        whole = whole or outside(self.curves, self.reference, clock, self.rises, self.peaks)
        if whole:
            return [whole] * len(clock.steps)
        return [reason or "" for reason in each_point(self.curves, *self._reach, clock)]

    def spread(self, clock: Clock) -> Array:
        """[N] standard deviation of a loss about the law's number there."""
        assert self.found is not None
        value = _values(type(self), self.found, clock)
        refits = np.array([_values(type(self), fit, clock) for fit in self.refits])
        return np.sqrt(np.mean((refits - value) ** 2, axis=0) + (self.lacks(clock) * value) ** 2)

    def lacks(self, clock: Clock) -> Array:
        """[N] relative standard deviation of what the law lacks there: see `DISCREPANCY`, `PEAK_DISCREPANCY`,
        `own_error`."""
        own = np.full(len(clock.steps), max(DISCREPANCY, self.rms))
        ratio = float(clock.e[: int(clock.steps.max())].max())
        if not 1 / SAME_PEAK <= ratio <= SAME_PEAK:
            own = np.hypot(own, PEAK_DISCREPANCY * abs(math.log2(ratio)))
        only, *others = self.curves
        if others:
            return own
        beyond = np.log(np.maximum(clock.steps / only.steps[-1], 1.0)) / math.log(HALFWAY)
        return np.hypot(own, self.own_error * beyond)

    @cached_property
    def own_error(self) -> float:
        """Of a law of one curve: its relative rms error on the second half of the losses, fitted to the first half."""
        first, second = halves(self.curves[0])
        law = type(self).fit([first], given=self._given)
        return relative_error(law, second)

    @property
    def _given(self) -> dict[str, float]:
        free = {p.name for p in self.free}
        return {name: x for name, x in self.exponents.items() if name not in free}

    @cached_property
    def refits(self) -> tuple[Fit, ...]:
        """Fits to curves made of the law and blocks of its residuals, from its optimum on."""
        assert self.found is not None
        rng = np.random.default_rng(derive_seed("refits", self.name))
        model = _model(type(self), self.curves, self.reference, self.delta)
        fitted, lengths = model.losses * (1 + self.found.residuals), [len(c.steps) for c in self.curves]
        return tuple(
            replace(model, losses=fitted * (1 - _resampled(self.found.residuals, lengths, rng))).fit(
                self.free, self.drawn(self._given, rng), at=self.exponents
            )
            for _ in range(REFITS)
        )

    @cached_property
    def _reach(self) -> tuple[float, float]:
        """Earliest and latest intrinsic time fitted."""
        clocks = [Clock.of(c.rates[: c.steps[-1]], self.reference, c.steps) for c in self.curves]
        return min(float(c.s[0]) for c in clocks), max(float(c.s[-1]) for c in clocks)


def halves(curve: Curve) -> tuple[Curve, Curve]:
    """The run until half of its losses were measured, and the same run with the losses after that."""
    middle = int(curve.steps[(len(curve.steps) - 1) // 2])
    return curve.until(middle), curve.at(curve.steps > middle)


def relative_error(law: CurveLaw, curve: Curve) -> float:
    """Root mean square of law / measured - 1 over a curve's losses."""
    return float(np.sqrt(np.mean((law.values(curve.rates, curve.steps) / curve.losses - 1) ** 2)))


def _model(cls: type[CurveLaw], curves: Sequence[Curve], reference: float, delta: float) -> Separable:
    """What is fitted: the law's columns at all losses, and one offset for those that are shifted."""
    clocks = [Clock.of(c.rates[: c.steps[-1]], reference, c.steps) for c in curves]
    losses, weights = np.concatenate([c.losses for c in curves]), np.concatenate([_weights(c) for c in curves])
    shifted = np.concatenate([c.shifted for c in curves])
    signed = 1 if shifted.any() else 0
    offset = shifted[:, None][:, :signed].astype(np.float64)
    stacked = lambda exponents: np.concatenate([cls.columns(exponents, clock) for clock in clocks])
    return Separable(lambda exponents: np.hstack([stacked(exponents), offset]), losses, weights, delta, signed)


def _values(cls: type[CurveLaw], fit: Fit, clock: Clock) -> Array:
    columns = cls.columns(fit.exponents, clock)
    return columns @ fit.coefficients[: columns.shape[1]]


def _weights(curve: Curve) -> Array:
    """A curve's weights, with mean 1."""
    return curve.weights / curve.weights.mean()


def _asked(rates: Array, steps: ArrayLike | None) -> NDArray[np.int64]:
    if steps is not None:
        return np.asarray(steps, dtype=np.int64)
    return np.unique(np.linspace(max(warmup_of(rates), 1), len(rates), POINTS).round().astype(np.int64))


def _resampled(residuals: Array, lengths: Sequence[int], rng: np.random.Generator) -> Array:
    """Residuals of each curve, drawn from its own in blocks of `BLOCK` neighbours."""
    found, start = [], 0
    for n in lengths:
        own, block = residuals[start : start + n], min(BLOCK, n)
        begins = rng.integers(0, n - block + 1, size=-(-n // block))
        found.append(np.concatenate([own[b : b + block] for b in begins])[:n])
        start += n
    return np.concatenate(found)
