"""Rules that warn of divergence, judged on trainings: thresholds from other networks, leads, false alarms, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from benchmarks.early_warning_runs import CADENCES

FALSE_ALARMS, LEAD, SOON = 0.05, 10, 20
"""At most so many of the trainings that do not diverge are warned of; a lead counts from so many steps; what diverges sooner
than SOON steps leaves no time to warn and is left out."""
Row = dict[str, Any]
Score = Callable[[Row], np.ndarray]
"""A rule: its number at every step, of which more is worse."""


def moment(row: Row) -> int:
    """The step from which on the loss, over five steps, stays above 95 % of its first: where it diverged."""
    losses = np.asarray(row["losses"])
    means = np.convolve(losses, np.ones(5) / 5)[: len(losses)]
    means[:4] = np.cumsum(losses[:4]) / np.arange(1, 1 + len(losses[:4]))
    below = np.flatnonzero(means < 0.95 * row["first"])
    return int(below[-1]) + 1 if len(below) else 0


def edge(every: int) -> Score:
    """The edge ratio at the last look, moved with the rate since."""

    def score(row: Row) -> np.ndarray:
        found = np.full(len(row["losses"]), np.nan)
        looks = row["looks"][str(every)]
        ends = [step for step, _, _ in looks[1:]] + [len(found)]
        for (step, ratio, rate), end in zip(looks, ends, strict=True):
            found[step:end] = [ratio * rates(row, t) / rate for t in range(step, end)]
        return found

    return score


def rates(row: Row, step: int) -> float:
    from benchmarks.early_warning_runs import rate_at

    return rate_at(row["shape"], step, row["peak"], row["turn"])


def followed(values: Iterable[float], keep: float) -> np.ndarray:
    """The exponential mean, begun at the first value."""
    found, last = [], None
    for value in values:
        last = value if last is None else keep * last + (1 - keep) * value
        found.append(last)
    return np.asarray(found)


def norm_rise(row: Row) -> np.ndarray:
    """The gradient's norm over its lowest so far, both over about three steps."""
    trend = followed(row["norms"], 0.7)
    return trend / np.minimum.accumulate(trend)


def norm_spike(row: Row) -> np.ndarray:
    """The gradient's norm over its mean of about fifty steps before."""
    norms = np.asarray(row["norms"])
    return norms[:] / np.r_[norms[:1], followed(norms, 0.98)[:-1]]


def loss_rise(row: Row) -> np.ndarray:
    """The loss over its lowest so far, both over about three steps."""
    trend = followed(row["losses"], 0.7)
    return trend / np.minimum.accumulate(trend)


def loss_spike(row: Row) -> np.ndarray:
    """How many standard deviations the loss is above its mean, both over about fifty steps before."""
    mean, square, found = row["losses"][0], 0.0, []
    for step, loss in enumerate(row["losses"]):
        found.append((loss - mean) / math.sqrt(square) if step >= 10 and square > 0 else 0.0)
        weight = 1 / min(step + 1, 50)
        square = (1 - weight) * (square + weight * (loss - mean) ** 2)
        mean += weight * (loss - mean)
    return np.asarray(found)


RULES: dict[str, Score] = {
    **{f"edge, looks every {every}": edge(every) for every in CADENCES},
    "gradient norm over its lowest": norm_rise,
    "gradient norm over its mean": norm_spike,
    "loss over its lowest": loss_rise,
    "loss, deviations above its mean": loss_spike,
}


def worst(score: np.ndarray) -> np.ndarray:
    """The largest so far; what is not finite is largest."""
    return np.maximum.accumulate(np.where(np.isnan(score), -np.inf, score))


def lead(top: np.ndarray, threshold: float, at: int) -> int | None:
    """Steps from the first alarm to divergence; None without an alarm before."""
    over = np.flatnonzero(top[:at] > threshold)
    return at - int(over[0]) if len(over) else None


def threshold_of(tops: list[float]) -> float:
    """The lowest that at most FALSE_ALARMS of the trainings that did not diverge reach."""
    return sorted(tops)[math.ceil(len(tops) * (1 - FALSE_ALARMS)) - 1]
