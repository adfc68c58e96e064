"""A problem with one setting of its optimizer changed: the same training but for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from etastar.core.optimizers import made_from
from etastar.core.problem import Problem
from etastar.errors import ProblemError


@dataclass(frozen=True)
class OptimizerVariant:
    """The optimizer that `factory` makes, with `settings` put into all of its parameter groups and its defaults."""

    factory: Callable[[nn.Module], Any]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, model: nn.Module) -> Any:
        """What the factory makes of `model`, in any of its forms."""
        result = self.factory(model)
        for optimizer in made_from(result).own:
            for name, value in self.settings:
                if name not in optimizer.defaults:
                    known = ", ".join(sorted(optimizer.defaults))
                    raise ProblemError(f"{type(optimizer).__name__} has no setting {name!r}; expected one of {known}")
                optimizer.defaults[name] = value
                for group in optimizer.param_groups:
                    group[name] = value
        return result


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
