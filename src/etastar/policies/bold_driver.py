"""`BoldDriver`: a little faster while the loss falls, much slower once it has risen."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from etastar.arguments import FACTOR, MULTIPLE, Number
from etastar.policies.setting import setting
from etastar.policies.watching import Watching

UP = Number(1, 10, "a number in [1, 10]")


@dataclass(frozen=True)
class BoldDriver(Watching):
    """rate <- up x rate where the loss is lower than at the look before, down x rate where it is higher.

    The rule takes back the step that raised the loss; a policy cannot, `Controller.rollback` can. It is a rule of full
    batches: of the losses of small ones about every other rises, and the usual two factors then halve the rate in two steps.

    Args:
        signal, every: see `Watching`.
        up, down: factors.
        high: the highest rate, in the lane's.

    Raises:
        ProblemError: a value out of range.

    >>> from etastar.policies.policy import Observation
    >>> policy = BoldDriver(signal="loss", every=1, up=1.5)
    >>> state, rates = policy.init(1.0), []
    >>> for step, loss in enumerate([3.0, 2.0, 1.0, 1.5, 1.5]):
    ...     rate, state = policy.step(Observation(step, {"loss": loss}), state)
    ...     rates.append(float(rate))
    >>> rates
    [1.0, 1.5, 2.25, 1.125, 1.125]

    Source: Vogl et al. 1988, Biological Cybernetics 59; Battiti 1989, Complex Systems 3.
    """

    up: float = setting(1.05, UP)
    down: float = setting(0.5, FACTOR)
    """The usual two: one rise undoes fourteen falls, so that the rate stays below where the loss begins to rise."""
    high: float = setting(10.0, MULTIPLE)
    """A decade above the lane's rate, where most networks diverge."""

    def fresh(self) -> dict[str, float]:
        """The value at the look before."""
        return {"last": torch.nan}

    def react(self, value: torch.Tensor, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Up, down, or as it was."""
        rate, last = state["rate"], state["last"]
        raised = torch.minimum(rate * self.up, state["lr"] * self.high)
        rate = torch.where(self.better(value, last), raised, rate)
        rate = torch.where(self.better(last, value), rate * self.down, rate)
        return {"lr": state["lr"], "rate": rate, "last": value.expand_as(rate)}
