"""`CosineRestarts`: half a cosine down to the floor, then up again at once, in cycles that grow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from etastar.arguments import CYCLES, SHARE
from etastar.policies.setting import setting
from etastar.policies.shape import Shape


@dataclass(frozen=True)
class CosineRestarts(Shape):
    """rate = floor + (peak - floor) x (1 + cos(pi x step of the cycle / its length)) / 2, floor = the share `floor` of it.

    Each cycle is `longer` times as long as the one before, and the last ends with the horizon: the first has

        steps x (longer - 1) / (longer^cycles - 1)        (steps / cycles for longer = 1)

    steps, rounded up, so that no further restart falls into the horizon.

    Args:
        cycles: over the horizon.
        longer: an integer >= 1.
        floor: the lowest rate, a share of the peak.
        steps: the horizon.

    Raises:
        ProblemError: a value out of range.

    >>> policy = CosineRestarts(cycles=2, longer=2).over(12)
    >>> [round(policy.rate(t, 1.0), 4) for t in (0, 2, 3, 4, 8, 11)]
    [1.0, 0.5, 0.1464, 1.0, 0.5, 0.0381]

    Source: Loshchilov and Hutter 2017, arXiv 1608.03983; `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    """

    cycles: int = setting(3, CYCLES)
    """With cycles that double, the last has four sevenths of the steps: what the restarts cost can still be made good."""
    longer: int = setting(2, CYCLES)
    """The T_mult = 2 of Loshchilov and Hutter."""
    floor: float = setting(0.0, SHARE)
    steps: int | None = None

    def rate(self, t: int, lr: Any) -> Any:
        """In torch's own order of operations, so that the bits are the same."""
        place, length = self._place(t)
        low = lr * self.floor
        return low + (lr - low) * (1 + math.cos(math.pi * place / length)) / 2

    def _place(self, t: int) -> tuple[int, int]:
        """(step within the cycle, length of the cycle) at step t."""
        units = sum(self.longer**i for i in range(self.cycles))
        length = -(-self.horizon // units)
        while t >= length:
            t, length = t - length, length * self.longer
            if self.longer == 1:
                t %= length
        return t, length
