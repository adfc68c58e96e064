"""`Clock`: a schedule in intrinsic time, the sum of its rates, cut into blocks in which the rate hardly changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar.laws.curves.curve import Array, checked_rates, warmup_of

BLOCKS = 100
"""70 to 160 blocks give the same fits (25M and 100M language models, 24,000 to 72,000 steps)."""
OF_CHANGE = 50
"""Further blocks, of equal change of the rate: within a short cooldown even blocks would show as waves of the loss."""
JUMP = 0.02
"""A change of the rate between two updates by this share of the peak is a jump, and has a block of its own."""
MOST_JUMPS = 200
"""So many jumps at most get blocks of their own, the largest first."""
UNIT = 1000.0
"""Updates at the reference rate in a unit of intrinsic time."""


@dataclass(frozen=True, eq=False)
class Clock:
    """Intrinsic time of a schedule, in thousands of updates at the reference rate.

        e_k = rate_k / reference        s(t) = sum_{k <= t} e_k / 1000

    Args:
        e: [T] rates over the reference rate.
        total: [T + 1] s after 0 .. T updates.
        steps: [N] where a loss is asked for.
        edges: [K + 1] updates at which blocks begin and end; jumps and the end of the warm-up lie between blocks.
        warmup: updates of the warm-up.

    >>> clock = Clock.of([0.1, 0.2, 0.2, 0.1], 0.2, [2, 4])
    >>> clock.s.tolist(), clock.warmup
    ([0.0015, 0.003], 1)
    """

    e: Array
    total: Array
    steps: NDArray[np.int64]
    edges: NDArray[np.int64]
    warmup: int

    @classmethod
    def of(cls, rates: object, reference: float, steps: object, blocks: int = BLOCKS) -> Clock:
        """The clock of these rates, one for each update, asked at `steps`."""
        e = checked_rates(rates) / reference  # type: ignore[arg-type]
        total = np.concatenate([[0.0], np.cumsum(e)]) / UNIT
        warmup = warmup_of(e)
        changes = np.abs(np.diff(e))
        jumps = np.flatnonzero(changes > JUMP * e.max()) + 1
        jumps = jumps[jumps > warmup]
        if len(jumps) > MOST_JUMPS:
            jumps = jumps[np.argsort(-changes[jumps - 1], kind="stable")[:MOST_JUMPS]]
        even = np.linspace(0, len(e), min(blocks, len(e)) + 1).round().astype(np.int64)
        changing = _equal_changes(changes, warmup)
        edges = np.unique(np.concatenate([even, changing, jumps, jumps + 1, [warmup, warmup + 1]]))
        return cls(e, total, np.asarray(steps, dtype=np.int64), edges, warmup)

    @property
    def s(self) -> Array:
        """[N] intrinsic time where losses are asked for."""
        return self.total[self.steps]

    @property
    def edge_s(self) -> Array:
        """[K + 1] intrinsic time at the blocks' edges."""
        return self.total[self.edges]

    @property
    def mean_e(self) -> Array:
        """[K] mean rate of each block, over the reference rate."""
        return np.diff(self.edge_s) * UNIT / np.diff(self.edges)


def _equal_changes(changes: Array, warmup: int) -> NDArray[np.int64]:
    """Updates after the warm-up between which the rate changes by equal sums."""
    summed = np.cumsum(changes[warmup:])
    if not len(summed) or not summed[-1] > 0:
        return np.zeros(0, dtype=np.int64)
    return warmup + 1 + np.searchsorted(summed, np.linspace(0, summed[-1], OF_CHANGE + 1)[1:-1])
