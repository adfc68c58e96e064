"""A user's own `torch.optim.lr_scheduler`, read off once as a table of factors."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from etastar.errors import ProblemError, in_one_line
from etastar.policies.policy import Observation

SchedulerFactory = Callable[[torch.optim.Optimizer], LRScheduler]
PROPORTIONAL = 1e-6


@dataclass(frozen=True, repr=False)
class TorchSchedule:
    """factor[t] x the lane's rate at step t; after the last step the last factor.

    Args:
        factors: rate / rate of the optimizer, one a step.

    >>> schedule = torch_schedule(lambda opt: torch.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.1), 4)
    >>> [round(schedule.factor(t), 6) for t in range(4)], [round(f, 6) for f in schedule.over(2).factors]
    ([1.0, 1.0, 0.1, 0.1], [1.0, 0.1])
    """

    factors: tuple[float, ...]

    def __repr__(self) -> str:
        digest = hashlib.blake2b(repr(self.factors).encode(), digest_size=8).hexdigest()
        return f"TorchSchedule({len(self.factors)} steps, {digest})"

    @property
    def steps(self) -> int:
        """The horizon."""
        return len(self.factors)

    def over(self, steps: int) -> TorchSchedule:
        """The same shape over `steps` steps: step t of n takes the factor of step floor(t x steps / n)."""
        if steps == self.steps:
            return self
        return TorchSchedule(tuple(self.factors[t * self.steps // steps] for t in range(steps)))

    def factor(self, step: int) -> float:
        """Share of the optimizer's rate at `step`."""
        return self.factors[min(step, self.steps - 1)]

    def init(self, lr: Any) -> Any:
        """The lane's rate is the state."""
        return lr

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """factor(step) x rate."""
        return state * self.factor(observation.step), state


def torch_schedule(factory: SchedulerFactory, steps: int) -> TorchSchedule:
    """The schedule that `factory` makes, over `steps` optimizer steps (`scheduler.step()` after each).

    Args:
        factory: (optimizer) -> LRScheduler, whose rates are proportional to the optimizer's own.

    Raises:
        ProblemError: it fails, reads a metric, or sets rates of its own that do not follow the optimizer's.
    """
    one, three = (_rates(factory, steps, lr) for lr in (1.0, 3.0))
    if any(abs(b - 3 * a) > PROPORTIONAL * (abs(b) + 1e-12) for a, b in zip(one, three, strict=True)):
        raise ProblemError(
            "the scheduler's rates do not follow the optimizer's learning rate; expected one that multiplies it, e.g. "
            "OneCycleLR(optimizer, max_lr=optimizer.param_groups[0]['lr'], total_steps=...)"
        )
    if min(one) < 0 or max(one) == 0:
        raise ProblemError("the scheduler's rates are negative or all zero; expected positive ones")
    return TorchSchedule(tuple(one))


def _rates(factory: SchedulerFactory, steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    try:
        scheduler = factory(optimizer)
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(f"the scheduler cannot be made: {in_one_line(error)}") from error
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ProblemError("the scheduler is a ReduceLROnPlateau, which reads a metric; expected a function of the step")
    if not isinstance(scheduler, LRScheduler):
        raise ProblemError(
            f"schedule returned a {type(scheduler).__name__}; expected a function (optimizer) -> torch LRScheduler"
        )
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a scheduler stepped before its optimizer; none trains here
        for step in range(steps):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            try:
                if step < steps - 1:
                    scheduler.step()
            except Exception as error:
                raise ProblemError(
                    f"the scheduler fails at step {step + 1} of {steps} ({in_one_line(error)}); make it that long"
                ) from error
    return rates
