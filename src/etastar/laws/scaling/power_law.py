"""`PowerLaw`: a quantity as a power of sizes, fitted to the members of a family, with an interval for a new member."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from etastar.core.estimate import Estimate, Status
from etastar.core.randomness import derive_seed
from etastar.errors import ProblemError
from etastar.laws.scaling.conditions import Condition, Sizes, Within

Array = NDArray[np.float64]
FEWEST = 3
DRAWS = 2000


@dataclass(frozen=True)
class PowerLaw:
    """log10 y = log10 C + sum_j e_j log10 x_j, by least squares over members; some e_j may be given. A `Law`.

    The prediction's interval is Student's for one new member, so it holds the scatter of members about the law:

        log10 y(x) -+ t s sqrt(1 + x' (X'X)^-1 x),    s^2 = sum of squared residuals / (members - fitted numbers)

    and s is at least the members' own standard error where that is known.

    Args:
        exponents: column -> exponent, fitted or given.
        given: columns whose exponent was not fitted.
        constant: C.
        r_squared: share of the variance of log10 y.
        loo: root mean square of the leave-one-out errors, in decades; infinite where a member is needed for the fit.
        scatter: s, in decades; infinite where nothing is left over.
        columns, values: what it was fitted to; value [members], the geometric mean over seeds.
        conditions: each may say why the law does not hold for a target.
        unit: of the values.
        level: probability of the intervals.
        errors: standard error of each member's log10 value, in decades; 0 where it is not known.

    >>> law = PowerLaw.fit({"size": [100, 200, 400, 800]}, [8.0, 4.0, 2.0, 1.0])
    >>> round(law.exponents["size"], 6), round(law.constant, 3), round(law.predict({"size": 1600}).require(), 6)
    (-1.0, 800.0, 0.5)
    >>> law.predict({"size": 16000}).status.value
    'outside-the-law'
    """

    exponents: dict[str, float]
    given: frozenset[str]
    constant: float
    r_squared: float
    loo: float
    scatter: float
    columns: dict[str, Array]
    values: Array
    conditions: tuple[Condition, ...] = ()
    unit: str = "learning rate"
    level: float = 0.9
    errors: Array = field(default_factory=lambda: np.zeros(0), repr=False)
    _seeds: Array | None = field(default=None, repr=False)

    @classmethod
    def fit(
        cls,
        columns: Mapping[str, ArrayLike],
        values: ArrayLike,
        *,
        given: Mapping[str, float] | None = None,
        errors: ArrayLike | None = None,
        conditions: Sequence[Condition] | None = None,
        unit: str = "learning rate",
        level: float = 0.9,
    ) -> Self:
        """The law of these members; too few of them make a law that refuses to predict.

        Args:
            columns: name -> sizes [members], all > 0.
            values: > 0; [members], or [members, seeds] with NaN where a seed is missing: its rows' geometric means are
                fitted, and its seeds resampled for the intervals of exponents.
            given: column -> exponent that is not fitted, e.g. {"width": -0.5, "depth": -1.5}.
            errors: standard error of log10 of each value, in decades [members]; default: from the seeds, else 0.
            conditions: default: every column, and the product of all, within `REACH` of what was measured.
            unit: of the values.
            level: probability of the intervals.

        Raises:
            ProblemError: lengths that differ, sizes or values that are not > 0, a fitted column that does not vary, or
                columns that vary together.
        """
        given = dict(given or {})
        x = {name: np.asarray(column, dtype=float) for name, column in columns.items()}
        y = np.asarray(values, dtype=float)
        seeds = y if y.ndim == 2 else None
        _check(x, y, given)
        logs = np.log10(y) if seeds is None else np.nanmean(np.log10(y), axis=1)
        own = _own_errors(seeds, errors, len(logs))
        if conditions is None:
            conditions = [Within((name,)) for name in x] + ([Within(tuple(x))] if len(x) > 1 else [])
        common = {"columns": x, "values": 10**logs, "conditions": tuple(conditions), "unit": unit, "level": level}
        free = [name for name in x if name not in given]
        if len(logs) < FEWEST:
            nothing = dict.fromkeys(x, math.nan) | given
            return cls(nothing, frozenset(given), math.nan, math.nan, math.inf, math.inf, errors=own, _seeds=seeds, **common)
        design = _design(x, free)
        offset = sum((e * np.log10(x[name]) for name, e in given.items()), np.zeros(len(logs)))
        solved, rank = _solve(design, logs - offset)
        if rank < design.shape[1]:
            raise ProblemError(
                f"the {len(logs)} members do not tell {', '.join(free)} apart; vary each of them by itself, or drop one"
            )
        residuals = logs - offset - design @ solved
        freedom = len(logs) - design.shape[1]
        leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
        left_out = residuals / np.where(leverage < 1 - 1e-9, 1 - leverage, np.nan)
        total = float(np.sum((logs - logs.mean()) ** 2))
        scatter = math.sqrt(max(float(residuals @ residuals) / freedom, float(np.mean(own**2)))) if freedom else math.inf
        return cls(
            exponents={name: given.get(name, float(solved[1 + free.index(name)]) if name in free else 0.0) for name in x},
            given=frozenset(given),
            constant=10 ** float(solved[0]),
            r_squared=1 - float(residuals @ residuals) / total if total > 0 else 1.0,
            loo=math.inf if np.isnan(left_out).any() else math.sqrt(float(np.mean(left_out**2))),
            scatter=scatter,
            errors=own,
            _seeds=seeds,
            **common,
        )

    @property
    def fitted(self) -> list[str]:
        """Columns whose exponent was fitted."""
        return [name for name in self.columns if name not in self.given]

    @property
    def formula(self) -> str:
        """As text, e.g. "21.3 depth^-0.86 width^-0.91"."""
        powers = [f"{name}^{exponent:.3g}" for name, exponent in self.exponents.items()]
        return " ".join([f"{self.constant:.3g}", *powers])

    def value(self, target: Sizes) -> float:
        """The law's number at `target`, whether it holds there or not."""
        return self.constant * math.prod(float(target[name]) ** e for name, e in self.exponents.items())

    def predict(self, target: Sizes) -> Estimate:
        """The value of a new member, with the interval that one new member has; or why the law does not reach there.

        Args:
            target: column -> size, > 0.
        """
        if refusal := self.refusal(target):
            return refusal
        row = self._row(target)
        inverse = np.linalg.inv(self._matrix().T @ self._matrix())
        half = self._quantile() * self.scatter * math.sqrt(1 + float(row @ inverse @ row))
        return self._estimate(self.value(target), half)

    def refusal(self, target: Sizes) -> Estimate | None:
        """Why there is no prediction at `target`; None where there is one."""
        missing = [name for name in self.columns if name not in target]
        if missing:
            raise ProblemError(f"the target has no {', '.join(missing)}; expected {', '.join(self.columns)}")
        n = len(self.values)
        none = {"unit": self.unit, "level": self.level, "n": n, "method": "power law"}
        if n < FEWEST:
            return Estimate.none(Status.TOO_FEW_POINTS, f"got {n} sizes; expected at least {FEWEST}: measure more", **none)
        if not math.isfinite(self.scatter):
            reason = f"{n} sizes leave nothing over after {1 + len(self.fitted)} fitted numbers; measure one more"
            return Estimate.none(Status.TOO_FEW_POINTS, reason, **none)
        rows = zip(*self.columns.values(), strict=True)
        measured = [dict(zip(self.columns, map(float, row), strict=True)) for row in rows]
        for condition in self.conditions:
            if reason := condition(target, measured):
                return Estimate.none(Status.OUTSIDE_THE_LAW, reason, **none)
        return None

    def exponent(self, name: str, *, over: str = "members") -> Estimate:
        """The exponent of column `name` with an interval.

        Args:
            name: a fitted column.
            over: "members": what other members of the family would have given (Student's t on the residuals);
                "seeds": what other seeds of the same members would have given (bootstrap: seeds resampled within each
                member, their spread corrected for the small number; from `errors` where there are no single seeds).
        """
        unit = f"exponent of {name}"
        if name not in self.fitted:
            raise ProblemError(
                f"the exponent of {name!r} was not fitted; expected one of {', '.join(self.fitted) or 'none'}"
            )
        value, index = self.exponents[name], 1 + self.fitted.index(name)
        if over == "members":
            if not math.isfinite(self.scatter):
                return Estimate.none(Status.TOO_FEW_POINTS, f"{len(self.values)} members leave nothing over", unit=unit)
            inverse = np.linalg.inv(self._matrix().T @ self._matrix())
            half = self._quantile() * self.scatter * math.sqrt(float(inverse[index, index]))
            return Estimate(value, value - half, value + half, self.level, unit, len(self.values), "least squares, members")
        if over != "seeds":
            raise ProblemError(f"over is {over!r}; expected members or seeds")
        if not math.isfinite(value):
            return Estimate.none(Status.TOO_FEW_POINTS, f"{len(self.values)} members carry no exponent", unit=unit)
        draws = self.resampled()[:, index]
        tail = (1 - self.level) / 2
        low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
        n = int(np.isfinite(self._seeds).sum()) if self._seeds is not None else len(self.values)
        return Estimate(value, min(low, value), max(high, value), self.level, unit, n, "bootstrap over seeds")

    def resampled(self, draws: int = DRAWS) -> Array:
        """[draws, 1 + fitted columns]: (log10 C, exponents) with the seeds of every member drawn again."""
        rng = np.random.default_rng(derive_seed(0, "power law", len(self.values)))
        logs = np.log10(self.values)
        noise = rng.normal(size=(draws, len(logs))) * self.errors
        if self._seeds is not None:
            for i, row in enumerate(np.log10(self._seeds)):
                known = row[np.isfinite(row)]
                if len(known) > 1:
                    picked = known[rng.integers(len(known), size=(draws, len(known)))].mean(1)
                    noise[:, i] = (picked - known.mean()) * math.sqrt(len(known) / (len(known) - 1))
        offset = sum((self.exponents[name] * np.log10(self.columns[name]) for name in self.given), np.zeros(len(logs)))
        return (logs - offset + noise) @ np.linalg.pinv(self._matrix()).T

    # -- inside ------------------------------------------------------------------------------------------------------

    def _matrix(self) -> Array:
        return _design(self.columns, self.fitted)

    def _row(self, target: Sizes) -> Array:
        return np.array([1.0, *(math.log10(target[name]) for name in self.fitted)])

    def _quantile(self) -> float:
        return float(stdtrit(len(self.values) - 1 - len(self.fitted), (1 + self.level) / 2))

    def _estimate(self, value: float, half: float) -> Estimate:
        half = min(half, 300.0)
        method = f"power law {self.formula}, Student's t"
        low, high = value * 10**-half, value * 10**half
        return Estimate(value, low, high, self.level, self.unit, len(self.values), method)


def _design(columns: Mapping[str, Array], free: Sequence[str]) -> Array:
    n = len(next(iter(columns.values()))) if columns else 0
    return np.column_stack([np.ones(n), *(np.log10(columns[name]) for name in free)])


def _solve(design: Array, y: Array) -> tuple[Array, int]:
    solved, _, rank, _ = np.linalg.lstsq(design, y, rcond=1e-10)
    return np.asarray(solved, dtype=np.float64), int(rank)


def _own_errors(seeds: Array | None, errors: ArrayLike | None, n: int) -> Array:
    """Standard error of each member's log10 value."""
    if errors is not None:
        return np.broadcast_to(np.asarray(errors, dtype=float), (n,))
    if seeds is None:
        return np.zeros(n)
    counts = np.isfinite(seeds).sum(1)
    squares = np.nansum((np.log10(seeds) - np.nanmean(np.log10(seeds), axis=1, keepdims=True)) ** 2, axis=1)
    many = counts > 1
    variance = float(squares[many].sum() / (counts[many] - 1).sum()) if many.any() else 0.0
    return np.sqrt(variance / counts)


def _check(columns: Mapping[str, Array], values: Array, given: Mapping[str, Any]) -> None:
    if not columns:
        raise ProblemError("got no columns; expected at least one, e.g. {'size': [...]}")
    if unknown := [name for name in given if name not in columns]:
        raise ProblemError(f"an exponent is given for {', '.join(unknown)}; expected columns {', '.join(columns)}")
    for name, column in columns.items():
        if column.ndim != 1 or len(column) != len(values):
            raise ProblemError(f"column {name} has shape {column.shape} beside {len(values)} values; expected as many")
        if not (np.isfinite(column).all() and (column > 0).all()):
            raise ProblemError(f"column {name} holds {column[~(column > 0)][:1]}; expected finite numbers > 0")
        if name not in given and len(column) >= FEWEST and np.ptp(np.log10(column)) < 1e-9:
            raise ProblemError(f"{name} is {column[0]:g} for every member; vary it, give its exponent or drop the column")
    known = values[~np.isnan(values)]
    if values.ndim not in (1, 2) or (known <= 0).any() or not np.isfinite(known).all():
        raise ProblemError("a value is not a finite number > 0; drop members without an answer first")
    if (values.ndim == 1 and np.isnan(values).any()) or (values.ndim == 2 and np.isnan(values).all(axis=1).any()):
        raise ProblemError("a member has no value; drop members without an answer first")
