"""What a run's schedule was, or would be, as the rate of every update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from etastar import arguments
from etastar.errors import ProblemError
from etastar.laws.curves.curve import Array
from etastar.policies.named import policy_over
from etastar.policies.policy import rates_over


@dataclass(frozen=True)
class Ran:
    """What a run's schedule was, where its log has no rates.

    Args:
        schedule: as `Problem` takes it, e.g. "warmup-cosine:warmup=0.02,floor=0.1".
        lr: its peak.
        steps: its horizon.
    """

    schedule: Any
    lr: float
    steps: int

    def __post_init__(self) -> None:
        arguments.RATE("lr", self.lr)
        arguments.STEPS("the horizon", self.steps)

    @property
    def rates(self) -> Array:
        """[steps] of every update."""
        return schedule_rates(self.schedule, self.lr, self.steps)


def schedule_rates(schedule: Any, lr: float, steps: int) -> Array:
    """[steps] rates of a schedule.

    Raises:
        ProblemError: no such schedule, or one that reads signals: no law knows them beforehand.

    >>> schedule_rates("linear", 0.1, 4).tolist()
    [0.1, 0.07500000000000001, 0.05, 0.025]
    """
    policy = policy_over(schedule, steps)
    if policy.reads:
        raise ProblemError(f"the policy {policy!r} reacts to what it reads, which nobody knows beforehand; give a schedule")
    return np.array([float(rate) for rate in rates_over(policy, lr, steps)])
