"""`Schedule`: the rate as a function of the step alone. Warm up, hold, decay: the shapes people train with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from etastar.arguments import shown, word
from etastar.errors import ProblemError
from etastar.policies.policy import Every, Observation

CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda left: left,
    "cosine": lambda left: 0.5 * (1 - math.cos(math.pi * left)),
    "sqrt": lambda left: 1 - math.sqrt(1 - left),
}
"""curve -> share of the rate, from the share of the decay that is still to come (1 at its start, 0 at its end)."""


@dataclass(frozen=True)
class Schedule:
    """Warm up, hold, decay: factor(t) x the lane's rate at step t = 0 .. steps - 1.

        t < W:              (t + 1) / W                                          W = round(warmup x steps)
        W <= t < steps - D: 1                                                    D = round(decay x steps)
        else:               floor + (1 - floor) x curve((steps - t) / D)
        t >= steps:         floor if there is a decay, else 1

    The lane's rate is the peak. `over(n)` is the same shape squeezed into n steps: every phase shrinks alike.

    Args:
        warmup, decay: shares of the steps, in [0, 1]; their sum is at most 1.
        curve: "linear", "cosine" or "sqrt" (1 - sqrt of the share of the decay that is over).
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
    curve: str = "linear"
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
        word("the schedule's curve", self.curve, CURVES)
        if self.steps is not None and not (isinstance(self.steps, int) and self.steps >= 1):
            raise ProblemError(f"the schedule's steps are {self.steps!r}; expected an integer >= 1")

    def over(self, steps: int) -> Schedule:
        """The same shape over `steps` steps."""
        return replace(self, steps=steps)

    def factor(self, step: int) -> float:
        """Share of the peak rate at `step`."""
        if self.steps is None:
            raise ProblemError("this schedule has no horizon yet; call schedule.over(steps) first")
        warmup = max(round(self.warmup * self.steps), 1) if self.warmup else 0
        decay = min(max(round(self.decay * self.steps), 1), self.steps - warmup) if self.decay else 0
        if step < warmup:
            return (step + 1) / warmup
        if step < self.steps - decay or not decay:
            return 1.0
        left = max(self.steps - step, 0) / decay
        return self.floor + (1 - self.floor) * CURVES[self.curve](left)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """Nothing: it is a function of the step."""
        return ()

    def rate(self, t: int, lr: Any) -> Any:
        """factor(t) x lr."""
        return lr * self.factor(t)

    def init(self, lr: Any) -> Any:
        """The peak rate is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """factor(step) x peak."""
        return self.rate(observation.step, state), state
