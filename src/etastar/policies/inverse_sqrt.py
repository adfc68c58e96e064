"""`InverseSqrt`: the rate falls as one over the root of the step, for runs whose end is not known before."""

from __future__ import annotations

import math
from dataclasses import dataclass

from etastar.arguments import SHARE
from etastar.errors import ProblemError
from etastar.policies.setting import setting
from etastar.policies.shape import Shape


@dataclass(frozen=True)
class InverseSqrt(Shape):
    """factor(t) = min((t + 1) / W, sqrt(W / (t + 1))) x min(1, (steps - t) / D)

    W = round(warmup x steps), at least 1, is the warm-up, D = round(cooldown x steps) the linear cooldown. Until that the
    rate of a step does not depend on how many are to come, only on W: a run can go on, and be cooled down anywhere.

    Args:
        warmup, cooldown: shares of the steps, in [0, 1], together at most 1.
        steps: the horizon.

    Raises:
        ProblemError: a share outside [0, 1], or shares beyond 1 together.

    >>> policy = InverseSqrt(warmup=0.04, cooldown=0.2).over(100)
    >>> [round(policy.factor(t), 6) for t in (0, 3, 15, 63, 80, 90)]
    [0.25, 1.0, 0.5, 0.25, 0.222222, 0.104828]

    Source: Vaswani et al. 2017, arXiv 1706.03762; with a cooldown Zhai et al. 2022, arXiv 2106.04560.
    """

    warmup: float = setting(0.05, SHARE)
    """As in `wsd`: the two differ in what comes between warm-up and cooldown alone."""
    cooldown: float = setting(0.2, SHARE)
    """As in `wsd`."""
    steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup + self.cooldown > 1 + 1e-9:
            raise ProblemError(
                f"inverse-sqrt warms up over {self.warmup:g} of the steps and cools down over {self.cooldown:g}; expected "
                "shares that add up to at most 1"
            )

    def factor(self, step: int) -> float:
        """Warm-up, then the root, times the cooldown."""
        steps = self.horizon
        warmup, cooldown = max(round(self.warmup * steps), 1), round(self.cooldown * steps)
        left = min(max(steps - step, 0) / cooldown, 1.0) if cooldown else 1.0
        return min((step + 1) / warmup, math.sqrt(warmup / (step + 1))) * left
