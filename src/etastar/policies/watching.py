"""`Watching`: what policies that wait for one number to get better have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import EVERY
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting

HIGHER_IS_BETTER = ("accuracy",)


@dataclass(frozen=True)
class Watching(Checked):
    """Looks at one signal at regular steps, and at nothing in between. A signal without a value yet (NaN) changes nothing.

    A subclass says `fresh`, what its state holds, and `react`, the state after a look. A state is a dict of float64 tensors
    of the lanes' shape; "lr" is the lane's rate, "rate" the one in use.

    Args:
        signal: what is watched: a loss, or the accuracy, of which more is better.
        every: optimizer steps from look to look.

    Raises:
        ProblemError: `every` is no integer >= 1.
    """

    signal: str = "smoothed_loss"
    """One batch's loss rises at about every other step of a training that goes well."""
    every: int = setting(10, EVERY)
    """The smoothed loss looks back about ten steps: looks that are as far apart share little."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The one signal."""
        return (self.signal if self.every == 1 else Every(self.signal, self.every),)

    @property
    def worst(self) -> float:
        """What any value is better than."""
        return -torch.inf if self.signal in HIGHER_IS_BETTER else torch.inf

    def better(self, value: Any, best: Any, threshold: float = 0.0, *, relative: bool = True) -> torch.Tensor:
        """Whether `value` is better than `best` by more than a threshold, a share of `best` or in the signal's own unit."""
        sign = -1.0 if self.signal in HIGHER_IS_BETTER else 1.0
        if relative:
            return sign * value < sign * (best * (1.0 - sign * threshold))
        return sign * value < sign * (best - sign * threshold)

    def init(self, lr: Any) -> Any:
        """The state before the first look."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        return {"lr": lr, "rate": lr, **{name: torch.full_like(lr, value) for name, value in self.fresh().items()}}

    def fresh(self) -> dict[str, float]:
        """What else a state holds, at first."""
        raise NotImplementedError

    def react(self, value: torch.Tensor, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state after a look that saw `value`."""
        raise NotImplementedError

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate in use, which a look may have changed."""
        if observation.step % self.every:
            return state["rate"], state
        value = torch.as_tensor(observation[self.signal], dtype=torch.float64)
        after = self.react(value, state)
        seen = ~torch.isnan(value)
        after = {name: torch.where(seen, after[name], state[name]) for name in state}
        return after["rate"], after
