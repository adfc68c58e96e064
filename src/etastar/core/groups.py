"""The parameter groups of an optimizer: their rates as multiples of one, and what a rate is to the user then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from etastar.arguments import LARGEST_RATE, SMALLEST_RATE
from etastar.errors import ProblemError
from etastar.policies.compose import OTHERS
from etastar.policies.torch_schedule import group_names

MAXIMISES = (
    "the optimizer maximises (maximize=True), but a loss is something to lower; pass the negated loss, loss=lambda outputs, "
    "targets: -reward(outputs, targets), and drop maximize: the steps are the same"
)
PASS_A_RATE = "expected a number > 0: pass lr=... to the optimizer itself, groups may differ from it"
MOST_SAID = 6
"""Groups whose rates a sentence names."""


@dataclass(frozen=True)
class Group:
    """One parameter group: its name, its rate as a multiple of the optimizer's default rate (0 = frozen), its size."""

    name: str
    multiplier: float
    parameters: int
    label: str = OTHERS
    """What a policy that gives groups rates of their own calls it; see `named_groups.split`."""


def in_words(lr: float, groups: Sequence[Group], *, each: bool = False) -> str:
    """What a rate is to the user: the number, or that of every group where no group has the optimizer's default.

    Args:
        each: name every group's in any case (several optimizers).

    >>> in_words(0.1, [Group("head", 1.0, 10), Group("body", 0.1, 90)])
    '0.1'
    >>> in_words(0.1, [Group("sgd", 1.0, 10), Group("adam", 0.1, 90)], each=True)
    'set of rates (sgd 0.1, adam 0.01)'
    >>> in_words(0.001, [Group("body", 0.02, 90), Group("head", 2.0, 10)])
    'set of rates (body 2e-05, head 0.002)'
    """
    moving = [group for group in groups if group.multiplier > 0]
    if not moving or (not each and any(abs(group.multiplier - 1) < 1e-9 for group in moving)):
        return f"{lr:.3g}"
    said = [f"{group.name} {lr * group.multiplier:.3g}" for group in moving]
    more = [f"{len(said) - MOST_SAID} more"] if len(said) > MOST_SAID else []
    return f"set of rates ({', '.join(said[:MOST_SAID] + more)})"


def checked_groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Group, ...]:
    """The parameter groups of an optimizer that is to train `model`.

    Raises:
        ProblemError: it has no usable rate, maximises, or holds nothing of the model's that can be trained.
    """
    default = optimizer.defaults.get("lr")
    if default is not None and not SMALLEST_RATE <= float(default) <= LARGEST_RATE and float(default) > 0:
        raise ProblemError(
            f"the optimizer's default lr is {float(default):g}; expected a number from {SMALLEST_RATE:g} to {LARGEST_RATE:g}"
        )
    if default is None or not float(default) > 0:
        raise ProblemError(f"the optimizer's default lr is {default!r}; {PASS_A_RATE}")
    if any(settings.get("maximize") for settings in optimizer.param_groups):
        raise ProblemError(MAXIMISES)
    own = {id(p) for p in model.parameters()}
    trainable = 0
    for index, settings in enumerate(optimizer.param_groups):
        if any(id(p) not in own for p in settings["params"]):
            raise ProblemError(
                "the optimizer holds parameters that are not the new model's; build it from the model it is given: "
                "optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)"
            )
        if unknown := [key for key, x in settings.items() if isinstance(x, float) and x != x and key != "lr"]:
            raise ProblemError(f"the optimizer's {unknown[0]} is nan; expected a number: set it")
        lr = float(settings["lr"])
        if not lr >= 0:
            raise ProblemError(f"parameter group {index} has lr {lr}; expected a number >= 0")
        trainable += sum(p.numel() for p in settings["params"] if p.requires_grad and lr > 0)
    if trainable == 0:
        raise ProblemError(
            "the optimizer has no trainable parameter (all frozen: requires_grad=False or lr=0); unfreeze at least one"
        )
    return groups_of(optimizer)


def groups_of(optimizer: torch.optim.Optimizer) -> tuple[Group, ...]:
    """The parameter groups of an optimizer at its rates."""
    default = default_lr(optimizer)
    rows = zip(group_names(optimizer), optimizer.param_groups, strict=True)
    return tuple(Group(n, float(g["lr"]) / default, sum(p.numel() for p in g["params"])) for n, g in rows)


def default_lr(optimizer: torch.optim.Optimizer) -> float:
    """The rate in use today."""
    return float(optimizer.defaults["lr"])
