"""Optimizers that train as usual and are evaluated at a mean of their weights: what stands for a decay nobody could plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from etastar.problems.optimizers import optimizer_factory

WEIGHT = 8
"""Of the mean, after t updates: the last one counts 9 / (8 + t), so that it looks back an eighth of the steps so far."""
WARMUP = 10
"""Steps of Schedule-Free's own warm-up, as in `PsiOpen`."""
MOMENTUM = 0.9
SCHEDULE_FREE = {"sgd": ("SGDScheduleFree", {"momentum": MOMENTUM}), "adam": ("AdamWScheduleFree", {"betas": (0.9, 0.99)})}
"""A task's optimizer -> that of the package `schedulefree`."""


class _Averages(torch.optim.Optimizer):
    """mean_t = mean_{t-1} + 9 / (8 + t) (w_t - mean_{t-1}): polynomial-decay averaging, at which `eval` puts the weights.

    Source: Shamir and Zhang 2013, arXiv 1212.1824.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """An update of the base optimizer, and of the mean."""
        loss = super().step(closure)
        for p in self._moved():
            state = self.state[p]
            state["updates"] = state.get("updates", 0) + 1
            if "mean" not in state:
                state["mean"] = p.detach().clone()
            state["mean"].lerp_(p.detach(), (WEIGHT + 1) / (WEIGHT + state["updates"]))
        return loss

    def eval(self) -> None:
        """Put the weights at their mean; `train` puts them back."""
        for p in self._moved():
            if "mean" in self.state[p]:
                self.state[p]["last"] = p.detach().clone()
                p.data.copy_(self.state[p]["mean"])

    def train(self) -> None:
        """Put the weights where training left them."""
        for p in self._moved():
            if "last" in self.state[p]:
                p.data.copy_(self.state[p].pop("last"))

    def _moved(self) -> list[torch.Tensor]:
        return [p for group in self.param_groups for p in group["params"] if p.grad is not None]


class AveragedSGD(_Averages, torch.optim.SGD):
    """SGD, evaluated at a mean of its weights."""


class AveragedAdam(_Averages, torch.optim.Adam):
    """Adam, evaluated at a mean of its weights."""


@dataclass(frozen=True)
class Averaged:
    """A factory for `Problem`: the optimizer of `spec`, averaged.

    >>> type(Averaged("adam:lr=0.01")(nn.Linear(1, 1))).__name__
    'AveragedAdam'
    """

    spec: str

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer for `model`."""
        base = optimizer_factory(self.spec)(model)
        kind = AveragedAdam if isinstance(base, torch.optim.Adam) else AveragedSGD
        return kind(model.parameters(), **{k: v for k, v in base.defaults.items() if k in ("lr", "momentum", "betas")})


@dataclass(frozen=True)
class ScheduleFree:
    """A factory for `Problem`: Defazio et al.'s optimizer for a task of this one; arXiv 2405.15682."""

    optimizer: str

    @staticmethod
    def installed() -> bool:
        """Whether the package is there; it is no requirement."""
        return find_spec("schedulefree") is not None

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer for `model`."""
        import schedulefree

        name, settings = SCHEDULE_FREE[self.optimizer]
        return getattr(schedulefree, name)(model.parameters(), warmup_steps=WARMUP, **settings)
