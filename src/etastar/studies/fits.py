"""What studies compute from rows: laws over members, their fit with an interval, differences and rank correlations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from etastar.core.estimate import Estimate, Status, log_error
from etastar.core.randomness import derive_seed
from etastar.errors import ProblemError
from etastar.laws.scaling.power_law import PowerLaw
from etastar.studies.bench import seeds_of
from etastar.studies.record import Row

Array = NDArray[np.float64]
LEVEL = 0.9
DRAWS = 2000
FEWEST = 4
"""Members below which no law is concluded from."""


def measured(rows: Sequence[Row], **key: object) -> list[Row]:
    """The rows with these keys that carry an eta*."""
    return [row for row in rows if _has(row, key) and row.get("eta_star") is not None]


def rows_with(rows: Sequence[Row], **key: object) -> list[Row]:
    """The rows with these keys."""
    return [row for row in rows if _has(row, key)]


def _has(row: Row, key: Mapping[str, object]) -> bool:
    return all(row.get(name) == value for name, value in key.items())


def law_of(
    rows: Sequence[Row], columns: Mapping[str, Callable[[Row], float]], given: Mapping[str, float] | None = None
) -> PowerLaw | None:
    """eta* of these rows as powers of `columns`, with the members' own seeds; None where they cannot carry one."""
    if len(rows) < FEWEST:
        return None
    table = {name: [of(row) for row in rows] for name, of in columns.items()}
    seeds = [seeds_of(row) for row in rows]
    width = max(map(len, seeds))
    values = [[*own, *[math.nan] * (width - len(own))] for own in seeds]
    return _fit(table, values, given, [log_error(row["low"], row["high"]) for row in rows])


def plain_law(table: Mapping[str, Sequence[float]], values: Sequence[float], unit: str = "value") -> PowerLaw | None:
    """`values` as powers of the columns; None where they cannot carry one."""
    return _fit(table, values, None, None, unit) if len(values) >= FEWEST else None


def _fit(
    table: Mapping[str, Sequence[float]],
    values: Sequence[Any],
    given: Mapping[str, float] | None,
    errors: Sequence[float] | None,
    unit: str = "learning rate",
) -> PowerLaw | None:
    try:
        return PowerLaw.fit(table, values, given=given, errors=errors, conditions=(), unit=unit, level=LEVEL)
    except ProblemError:  # a column that does not vary
        return None


def exponent(law: PowerLaw | None, name: str, over: str = "members") -> Estimate:
    """The exponent of a column; a reason where there is no law."""
    return too_few(f"exponent of {name}") if law is None else law.exponent(name, over=over)


def too_few(unit: str = "") -> Estimate:
    """What is said where members are missing."""
    return Estimate.none(
        Status.TOO_FEW_POINTS, f"fewer than {FEWEST} members were measured there, or they do not vary", unit=unit
    )


def r_squared(law: PowerLaw | None) -> Estimate:
    """R^2 with its interval over seeds: every member's value drawn again with its own error, the law fitted again."""
    if law is None:
        return too_few("R^2")
    free = law.fitted
    logs = np.log10(law.values)
    offset = sum((law.exponents[n] * np.log10(law.columns[n]) for n in law.given), np.zeros(len(logs)))
    design = np.column_stack([np.ones(len(logs)), *(np.log10(law.columns[n]) for n in free)])
    noise = np.random.default_rng(derive_seed(0, "r squared", len(logs))).normal(size=(DRAWS, len(logs))) * law.errors
    drawn = logs + noise
    fitted = (drawn - offset) @ np.linalg.pinv(design).T @ design.T + offset
    total = ((drawn - drawn.mean(1, keepdims=True)) ** 2).sum(1)
    found = 1 - ((drawn - fitted) ** 2).sum(1) / np.where(total > 0, total, np.nan)
    low, high = (float(q) for q in np.nanquantile(found, [0.05, 0.95]))
    value = law.r_squared
    return Estimate(value, min(low, value), max(high, value), LEVEL, "R^2", len(logs), "bootstrap over seeds")


def difference(a: Estimate, b: Estimate, unit: str) -> Estimate:
    """a - b of two independent measurements; intervals add in squares on either side."""
    for e in (a, b):
        if not e.ok:
            return Estimate.none(e.status, e.reason, unit=unit)
    value = a.require() - b.require()
    up = math.hypot(_above(a), _below(b))
    down = math.hypot(_below(a), _above(b))
    return Estimate(value, value - down, value + up, LEVEL, unit, a.n + b.n, "difference of independent measurements")


def _above(e: Estimate) -> float:
    return (e.high or 0.0) - e.require()


def _below(e: Estimate) -> float:
    return e.require() - (e.low or 0.0)


def mean_residual(law: PowerLaw | None, rows: Sequence[Row]) -> Estimate:
    """Mean of log10(eta* / law) over rows the law was not fitted to, with Student's interval over members, in decades.

    Its width holds the law's own scatter, so two members are enough for an interval (a wide one).
    """
    if law is None or len(rows) < 2:
        return too_few("decades")
    residuals = [math.log10(row["eta_star"] / law.value({name: _size(name, row) for name in law.columns})) for row in rows]
    mean, n = float(np.mean(residuals)), len(residuals)
    deviation = math.sqrt(max(float(np.var(residuals, ddof=1)), law.scatter**2) / n)
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * deviation
    return Estimate(mean, mean - half, mean + half, LEVEL, "decades", n, "Student's t over members")


def _size(name: str, row: Row) -> float:
    return SIZES[name](row)


SIZES: dict[str, Callable[[Row], float]] = {
    "depth x width": lambda row: row["depth"] * row["width"],
    "depth": lambda row: row["depth"],
    "width": lambda row: row["width"],
}
"""column -> how it is read from a row."""


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """Spearman's rank correlation with a bootstrap interval over members."""
    if len(x) < FEWEST or len(set(x)) < 2 or len(set(y)) < 2:
        return too_few("rank correlation")
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    rng = np.random.default_rng(derive_seed(0, "rank correlation", len(a)))
    picked = rng.integers(len(a), size=(DRAWS // 2, len(a)))
    drawn = _spearman(a[picked], b[picked])
    value = float(_spearman(a[None], b[None])[0])
    low, high = (float(q) for q in np.nanquantile(drawn, [0.05, 0.95]))  # a draw of one member only has no correlation
    return Estimate(value, min(low, value), max(high, value), LEVEL, "rank correlation", len(a), "bootstrap over members")


def _spearman(a: Array, b: Array) -> Array:
    """Of every row; NaN where all of a row are equal."""
    from scipy.stats import rankdata  # the import takes 0.6 s

    ranks = [rankdata(rows, axis=1) for rows in (a, b)]
    x, y = (r - r.mean(1, keepdims=True) for r in ranks)
    spread = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.divide((x * y).sum(1), spread, out=np.full(len(x), np.nan), where=spread > 0)


def exponent_of_means(x: Sequence[float], samples: Sequence[Sequence[float]], unit: str) -> Estimate:
    """e of mean(samples_i) ~ x_i^e, with a bootstrap interval over the samples of every member.

    >>> e = exponent_of_means([1, 2, 4, 8], [[1.0, 3.0], [4.0, 12.0], [16.0, 48.0], [64.0, 192.0]], "exponent")
    >>> round(e.require(), 6), e.low < 2 < e.high
    (2.0, True)
    """
    if len(x) < 3:
        return too_few(unit)
    logs = np.log10(np.asarray(x, dtype=float))
    centred = logs - logs.mean()
    weights = centred / (centred @ centred)
    rng = np.random.default_rng(derive_seed(0, "exponent of means", len(x)))
    drawn = np.empty((DRAWS, len(x)))
    for i, own in enumerate(map(np.asarray, samples)):
        drawn[:, i] = own[rng.integers(len(own), size=(DRAWS, len(own)))].mean(1)
    value = float(weights @ np.log10([np.mean(own) for own in samples]))
    low, high = (float(q) for q in np.quantile(np.log10(drawn) @ weights, [0.05, 0.95]))
    n = sum(map(len, samples))
    return Estimate(value, min(low, value), max(high, value), LEVEL, unit, n, "bootstrap over seeds")


def ratio_of_spreads(a: Sequence[float], b: Sequence[float], unit: str) -> Estimate:
    """log10 of (deviation / mean of a) / (deviation / mean of b), with a bootstrap interval."""
    rng = np.random.default_rng(derive_seed(0, "ratio of spreads", len(a), len(b)))
    drawn = [_spread(np.asarray(own)[rng.integers(len(own), size=(DRAWS, len(own)))]) for own in (a, b)]
    found = np.log10(drawn[0] / drawn[1])
    value = float(np.log10(_spread(np.asarray([a]))[0] / _spread(np.asarray([b]))[0]))
    low, high = (float(q) for q in np.quantile(found, [0.05, 0.95]))
    return Estimate(value, min(low, value), max(high, value), LEVEL, unit, len(a) + len(b), "bootstrap over seeds")


def _spread(samples: Array) -> Array:
    return samples.std(1) / samples.mean(1)


def mean_and_interval(values: Sequence[float], unit: str, level: float = LEVEL) -> Estimate:
    """The mean with Student's interval over members."""
    if len(values) < 2:
        return too_few(unit)
    mean, n = float(np.mean(values)), len(values)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, level, unit, n, "Student's t over members")
