"""`Triangular`: the rate goes up and down in straight lines, several times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from etastar.arguments import CYCLES, FACTOR, SHARE
from etastar.policies.setting import setting
from etastar.policies.shape import Shape


@dataclass(frozen=True)
class Triangular(Shape):
    """rate(t) = low + (peak - low) x shrink^(cycle - 1) x height, low = the share `low` of the peak.

    In each of `cycles` equal cycles the height goes from 0 to 1 and back. shrink = 1 is Smith's triangular, 1/2 his
    triangular2.

    Args:
        cycles: over the horizon.
        low: the lowest rate, a share of the peak.
        shrink: how much lower each cycle is than the one before.
        steps: the horizon.

    Raises:
        ProblemError: a value out of range.

    >>> policy = Triangular(cycles=2, low=0.2, shrink=0.5).over(8)
    >>> [round(policy.rate(t, 1.0), 4) for t in range(9)]
    [0.2, 0.6, 1.0, 0.6, 0.2, 0.4, 0.6, 0.4, 0.2]

    Source: Smith 2017, arXiv 1506.01186; `torch.optim.lr_scheduler.CyclicLR`.
    """

    cycles: int = setting(4, CYCLES)
    """Smith advises four or more, and to end where a cycle ends."""
    low: float = setting(0.25, SHARE)
    """Smith takes a third or a quarter of the largest rate."""
    shrink: float = setting(1.0, FACTOR)
    steps: int | None = None

    def rate(self, t: int, lr: Any) -> Any:
        """In torch's own order of operations, so that the bits are the same."""
        length = self.horizon / self.cycles
        cycle = math.floor(1 + t / length)
        place = 1.0 + t / length - cycle
        height = place / 0.5 if place <= 0.5 else (place - 1) / (0.5 - 1)
        low = lr * self.low
        return low + (lr - low) * height * self.shrink ** (cycle - 1)
