"""A problem with one setting of its optimizer changed: the same training but for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.core.problem import Problem
from etastar.errors import ProblemError


@dataclass(frozen=True)
class OptimizerVariant:
    """The optimizer that `factory` makes, with `settings` put into all of its parameter groups and its defaults."""

    factory: Callable[[nn.Module], torch.optim.Optimizer]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer for `model`."""
        optimizer = self.factory(model)
        if not isinstance(optimizer, torch.optim.Optimizer):
            return optimizer  # whoever asked for an optimizer says so
        for name, value in self.settings:
            if name not in optimizer.defaults:
                known = ", ".join(sorted(optimizer.defaults))
                raise ProblemError(f"{type(optimizer).__name__} has no setting {name!r}; expected one of {known}")
            optimizer.defaults[name] = value
            for group in optimizer.param_groups:
                group[name] = value
        return optimizer


def with_optimizer_setting(problem: Problem, **settings: Any) -> Problem:
    """`problem`, its optimizer made with these settings (`momentum=0.5`, `betas=(0.5, 0.999)`, ...).

    Raises:
        ProblemError: it is a training loop of the user's own. (A setting the optimizer does not have is refused when the
            optimizer is made.)
    """
    if problem.loop is not None or problem.optimizer is None:
        raise ProblemError(
            f"got a training loop of your own; {', '.join(settings)} can be set only where etastar makes the optimizer: "
            "change the loop itself"
        )
    return problem.but(optimizer=OptimizerVariant(problem.optimizer, tuple(settings.items())))
