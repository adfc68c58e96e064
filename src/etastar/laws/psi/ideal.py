"""`Ideal`: the best rate of a state of training, from the forks that left it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from etastar.laws.psi.fork import Fork

WORST = 2.0
"""Nats of ln(final loss) that a fork may lose or win: broken ones lose so much, and no single one owns a mean."""


@dataclass(frozen=True)
class Ideal:
    """The best rate of a state.

    Args:
        task, group, path, s: of the state.
        eps: mean over its forks.
        log_factor: ln(best rate / peak).
        side: 0; -1 or 1 where the best of the multiples was the lowest or the highest, and the true best lies beyond.
    """

    task: str
    group: str
    path: str
    s: float
    eps: float
    log_factor: float
    side: int


def gain_of(rows: Sequence[Fork], reference: Sequence[Fork]) -> float:
    """Mean ln(final loss) of forks minus that of the reference's on the same seeds; below 0 is better."""
    known = {row.seed: row.final for row in reference}
    return statistics.fmean(log_ratio(row.final, known[row.seed]) for row in rows)


def log_ratio(final: float, reference: float, best: float = -WORST) -> float:
    """ln(final / reference) in [best, WORST]; a broken lane is the worst, a broken reference the best.

    >>> log_ratio(1.0, 1.0), log_ratio(math.inf, 1.0), log_ratio(1.0, math.inf), log_ratio(1e-9, 1.0, best=-1.0)
    (0.0, 2.0, -2.0, -1.0)
    """
    if not (math.isfinite(final) and final > 0):
        return WORST
    if not (math.isfinite(reference) and reference > 0):
        return best
    return max(best, min(WORST, math.log(final / reference)))


def ideals_of(forks: Iterable[Fork]) -> tuple[Ideal, ...]:
    """The vertex of a parabola through the best multiple and its neighbours, of every state."""
    states: dict[tuple[str, str, str, float], dict[float, list[Fork]]] = {}
    for fork in forks:
        key = (fork.task, fork.group, fork.path, fork.s)
        states.setdefault(key, {}).setdefault(fork.multiple, []).append(fork)
    return tuple(_ideal(*key, own) for key, own in states.items() if 1.0 in own and key[3] < 1)


def _ideal(task: str, group: str, path: str, s: float, own: dict[float, list[Fork]]) -> Ideal:
    multiples = sorted(own)
    gains = [gain_of(own[m], own[1.0]) for m in multiples]
    i = gains.index(min(gains))
    side = -1 if i == 0 else 1 if i == len(gains) - 1 else 0
    log_best = math.log(multiples[i]) if side else vertex(multiples[i - 1 : i + 2], gains[i - 1 : i + 2])
    eps = statistics.fmean(fork.eps for forks in own.values() for fork in forks)
    return Ideal(task, group, path, s, eps, log_best + math.log(1 - s), side)


def vertex(multiples: Sequence[float], gains: Sequence[float]) -> float:
    """ln of where the parabola through three points, in ln(multiple), is lowest.

    >>> round(math.exp(vertex([0.5, 1.0, 2.0], [1.0, 0.0, 1.0])), 6)
    1.0
    """
    (x0, x1, x2), (y0, y1, y2) = map(math.log, multiples), gains
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    if bend <= 0:
        return x1
    return min(max((x0 + x1) / 2 - left / (2 * bend), x0), x2)
