"""`Schedule`: the rate as a function of the step alone. Warm up, hold, decay: the shapes people train with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from etastar.arguments import shown, word
from etastar.errors import ProblemError
from etastar.policies.policy import Constant, Policy
from etastar.policies.shape import Shape

CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 * (1 - math.cos(math.pi * left)),
    "sqrt": lambda left: 1 - math.sqrt(1 - left),
}
"""curve -> share of the rate, from the share of the decay that is still to come (1 at its start, 0 at its end)."""
LARGEST_POWER = 100.0
"""Beyond it nine tenths of the steps have less than 1e-4 of the rate: a mistyped number, no schedule."""


@dataclass(frozen=True)
class Schedule(Shape):
    """Warm up, hold, decay: factor(t) x the lane's rate at step t = 0 .. steps - 1.

        t < W:              (t + 1) / W                                          W = round(warmup x steps)
        W <= t < steps - D: 1                                                    D = round(decay x steps)
        else:               floor + (1 - floor) x curve((steps - t) / D)
        t >= steps:         floor if there is a decay, else 1

    The lane's rate is the peak. `over(n)` is the same shape squeezed into n steps: every phase shrinks alike.

    Args:
        warmup, decay: shares of the steps, in [0, 1]; their sum is at most 1.
        curve: "linear", "cosine", "sqrt" (1 - sqrt of the share of the decay that is over), or a number q > 0: the share
            that is still to come to the power q, polynomial decay.
        floor: last factor, in [0, 1].
        steps: the horizon; None until `Problem` or `over` sets it.

    Raises:
        ProblemError: a share outside [0, 1], shares beyond 1 together, an unknown curve, or steps < 1.

    >>> schedule = Schedule(warmup=0.1, decay=0.2, curve="linear").over(100)
    >>> [schedule.factor(t) for t in (0, 9, 50, 90, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.05]
    """

    warmup: float = 0.0
    decay: float = 1.0
    curve: str | float = "linear"
    floor: float = 0.0
    steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("warmup", "decay", "floor"):
            value = getattr(self, name)
            if isinstance(value, bool) or not (isinstance(value, (int, float)) and 0 <= value <= 1):
                raise ProblemError(f"the schedule's {name} is {shown(value)}; expected a share in [0, 1], e.g. {name}=0.1")
        if self.warmup + self.decay > 1 + 1e-9:
            raise ProblemError(
                f"the schedule warms up over {self.warmup:g} of the steps and decays over {self.decay:g}, more than all of "
                "them; expected shares that add up to at most 1"
            )
        if isinstance(self.curve, (int, float)) and not isinstance(self.curve, bool):
            if not 0 < self.curve <= LARGEST_POWER:
                raise ProblemError(f"the schedule's curve is {self.curve!r}; expected a power in (0, 100], e.g. curve=2")
        else:
            word("the schedule's curve", self.curve, CURVES)
        super().__post_init__()

    def trunk(self) -> tuple[Policy, int] | None:
        """A constant rate until the decay, where there is no warm-up: decays of several lengths may share it.

        >>> Schedule(decay=0.2).over(100).trunk()
        (Constant(), 80)
        """
        if self.steps is None or self.warmup or not 0 < (hold := self.steps - self._phases()[1]) < self.steps:
            return None
        return Constant(), hold

    def grafted(self, own: Any, lr: Any, rate: Any) -> Any:
        """Its state at the end of the trunk: the peak rate."""
        return lr

    def _phases(self) -> tuple[int, int]:
        """Steps of warm-up and of decay."""
        steps = self.horizon
        warmup = max(round(self.warmup * steps), 1) if self.warmup else 0
        return warmup, min(max(round(self.decay * steps), 1), steps - warmup) if self.decay else 0

    def factor(self, step: int) -> float:
        """Share of the peak rate at `step`."""
        steps = self.horizon
        warmup, decay = self._phases()
        if step < warmup:
            return (step + 1) / warmup
        if step < steps - decay or not decay:
            return 1.0
        left = max(steps - step, 0) / decay
        share = CURVES[self.curve](left) if isinstance(self.curve, str) else left**self.curve
        return self.floor + (1 - self.floor) * share
