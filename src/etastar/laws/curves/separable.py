"""Fits of laws that are linear in a few numbers once their exponents are known (variable projection)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from etastar.core.randomness import derive_seed
from etastar.laws.curves.curve import Array

Columns = Callable[[dict[str, float]], Array]
"""Exponents by name -> [N, M] columns, whose coefficients are fitted and >= 0."""
ROUNDS = 3
"""Reweightings of the inner fit; a fourth changes no coefficient in its third digit."""
EVALUATIONS = 60
DIFFERENCE = 1e-4
"""Relative step of the outer fit's differences: well above the error that reweighting leaves in a residual."""
MIDDLE = 0.7
"""Further starts are drawn from this middle share of the box."""


@dataclass(frozen=True)
class Exponent:
    """A number inside the columns: its bounds and where its fit starts; `log`: it is fitted as its logarithm.

    >>> Exponent("C", 0.1, 1000.0, 10.0, log=True).inner(math.log(5.0))
    5.0
    """

    name: str
    low: float
    high: float
    start: float
    log: bool = False

    def outer(self, value: float) -> float:
        """As it is fitted."""
        return math.log(value) if self.log else value

    def inner(self, value: float) -> float:
        """As the columns take it."""
        return round(math.exp(value), 12) if self.log else value


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Args:
        exponents: by name, those that were given among them.
        coefficients: [M], of the columns.
        cost: sum of the robust squares of relative residuals.
        residuals: [N] relative: fitted / measured - 1.
        costs: that of each start.
    """

    exponents: dict[str, float]
    coefficients: Array
    cost: float
    residuals: Array
    costs: tuple[float, ...]


@dataclass(frozen=True)
class Separable:
    """y = columns(exponents) @ coefficients, by robust least squares of relative residuals.

        min sum_i rho(w_i (y_fit,i / y_i - 1)),   rho(r) = r^2 / 2 for |r| <= delta, else delta |r| - delta^2 / 2  (Huber)

    Inside, for given exponents, the coefficients are a weighted linear fit, reweighted `ROUNDS` times; outside,
    `scipy.optimize.least_squares` moves the exponents in their box. Only the outer numbers need a start.

    Args:
        columns: see `Columns`.
        losses, weights: [N].
        delta: relative residual beyond which a loss counts less.
        signed: how many of the last columns may have coefficients < 0.

    >>> x = np.linspace(1.0, 9.0, 30)
    >>> model = Separable(lambda at: np.stack([np.ones(30), x ** -at["a"]], axis=1), 2 + 3 * x**-0.5, np.ones(30), 1e-3)
    >>> found = model.fit([Exponent("a", 0.1, 2.0, 1.0)], {})
    >>> round(found.exponents["a"], 4), found.coefficients.round(4).tolist()
    (0.5, [2.0, 3.0])
    """

    columns: Columns
    losses: Array
    weights: Array
    delta: float
    signed: int = 0

    def fit(
        self, free: Sequence[Exponent], given: dict[str, float], starts: int = 2, at: dict[str, float] | None = None
    ) -> Fit:
        """The best of several starts: the exponents' own, then draws from the middle of their box.

        Args:
            free: exponents to fit.
            given: exponents that are not fitted.
            starts: how many.
            at: start there instead, once.
        """
        if not free:
            return self._solved(given, ())
        low = np.array([p.outer(p.low) for p in free])
        high = np.array([p.outer(p.high) for p in free])

        def exponents(outer: Array) -> dict[str, float]:
            return given | {p.name: p.inner(float(x)) for p, x in zip(free, outer, strict=True)}

        def residuals(outer: Array) -> Array:
            return self._robust(self._inner(exponents(outer))[1])

        first = np.array([p.outer((at or {}).get(p.name, p.start)) for p in free])
        rng = np.random.default_rng(derive_seed("separable", *(p.name for p in free)))
        draws = 0.5 + MIDDLE * (rng.random((max(starts - 1, 0) if at is None else 0, len(free))) - 0.5)
        margin = 1e-6 * (high - low)
        found = [
            least_squares(
                residuals, np.clip(start, low + margin, high - margin), bounds=(low, high), x_scale=(high - low) / 5,
                diff_step=DIFFERENCE, max_nfev=EVALUATIONS,
            )
            for start in (first, *(low + d * (high - low) for d in draws))
        ]  # fmt: skip
        best = min(found, key=lambda result: result.cost)
        return self._solved(exponents(best.x), tuple(float(result.cost) for result in found))

    def _solved(self, exponents: dict[str, float], costs: tuple[float, ...]) -> Fit:
        coefficients, residuals = self._inner(exponents)
        cost = 0.5 * float(np.sum(self._robust(residuals) ** 2))
        return Fit(exponents, coefficients, cost, residuals / np.sqrt(self.weights), costs or (cost,))

    def _inner(self, exponents: dict[str, float]) -> tuple[Array, Array]:
        """Coefficients, and residuals relative to the losses times the root of the weights."""
        scale = np.sqrt(self.weights) / self.losses
        rows, wanted = self.columns(exponents) * scale[:, None], self.losses * scale
        influence = np.ones(len(wanted))
        coefficients = np.zeros(rows.shape[1])
        for _ in range(ROUNDS):
            coefficients = positive_fit(rows * influence[:, None], wanted * influence, self.signed)
            size = np.abs(rows @ coefficients - wanted)
            influence = np.sqrt(np.minimum(1.0, self.delta / np.maximum(size, 1e-300)))
        return coefficients, rows @ coefficients - wanted

    def _robust(self, residuals: Array) -> Array:
        """Numbers whose squares are twice Huber's loss."""
        size = np.abs(residuals)
        beyond = np.sqrt(np.maximum(2 * self.delta * size - self.delta**2, 0.0))
        return np.sign(residuals) * np.where(size <= self.delta, size, beyond)


def positive_fit(rows: Array, wanted: Array, signed: int = 0) -> Array:
    """Least squares with coefficients >= 0, but for the last `signed`: the most negative one is dropped until none is.

    >>> positive_fit(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([3.0, 2.0, 1.0])).tolist()
    [2.0, 0.0]
    >>> positive_fit(np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), np.array([3.0, 2.0, 1.0]), signed=1).round(9).tolist()
    [3.0, -1.0]
    """
    kept = list(range(rows.shape[1]))
    first_signed = rows.shape[1] - signed
    scales = np.maximum(np.linalg.norm(rows, axis=0), 1e-300)
    found = np.zeros(rows.shape[1])
    while kept:
        solved = np.linalg.lstsq(rows[:, kept] / scales[kept], wanted, rcond=None)[0]
        bounded = np.where(np.array(kept) < first_signed, solved, 0.0)
        if (bounded >= 0).all():
            found[kept] = solved / scales[kept]
            break
        kept.remove(kept[int(np.argmin(bounded))])
    return found
