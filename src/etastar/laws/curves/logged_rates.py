"""The rate of every update, from a log that holds some of them: jumps are located, not smeared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from etastar.errors import ProblemError
from etastar.laws.curves.curve import Array, checked_rates

JUMP = 0.1
"""A change between two logs by this share of the peak may be a jump ..."""
STANDS_OUT = 4.0
"""... and is one if it is this many times the changes before and after it: a steep decay changes alike from log to log."""


def rates_of_every_update(steps: ArrayLike, rates: ArrayLike, updates: int, warmup: int = 0) -> Array:
    """[updates] rates: linear between logs, held at jumps (which are placed half-way between their two logs).

    Args:
        steps: [N], rising: when each rate was logged.
        rates: [N].
        updates: how many are wanted; beyond the last log its rate is held.
        warmup: updates of a linear warm-up from 0 that ended before the first log; 0: the first rate was held from the
            start.

    Raises:
        ProblemError: other lengths, steps that do not rise, rates that cannot be, a warm-up that ends after the first log.

    >>> rates_of_every_update([2, 4, 6], [1.0, 0.5, 0.0], 5, warmup=2).tolist()
    [0.5, 1.0, 0.75, 0.5, 0.25]
    >>> rates_of_every_update([1, 3, 5, 7, 9], [1.0, 1.0, 1.0, 0.1, 0.1], 9).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1]
    """
    at, e = np.asarray(steps, dtype=np.float64), checked_rates(rates, "the log")
    if len(at) != len(e) or (np.diff(at) <= 0).any():
        raise ProblemError(f"got {len(at)} steps and {len(e)} rates; expected as many, and steps that rise")
    if warmup > max(at[0], 0):
        raise ProblemError(
            f"the warm-up of {warmup} updates ends after the first logged rate at step {at[0]:g}; leave it out"
        )
    k = np.arange(1, updates + 1, dtype=np.float64)
    found = np.interp(k, at, e)
    for i in _jumps(e):
        inside = (k > at[i]) & (k < at[i + 1])
        found[inside] = np.where(k[inside] <= (at[i] + at[i + 1]) / 2, e[i], e[i + 1])
    if warmup:
        found[:warmup] = e[0] * k[:warmup] / warmup
    return found


def _jumps(e: Array) -> list[int]:
    """i where the rate jumps between logs i and i + 1."""
    size = np.abs(np.diff(e))
    around = np.maximum(np.concatenate([[0.0], size[:-1]]), np.concatenate([size[1:], [0.0]]))
    return np.flatnonzero((size > JUMP * e.max()) & (size > STANDS_OUT * around)).tolist()
