"""A rate given to an optimizer of the user's that is already made, and to the schedulers on it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import torch

from etastar.core.groups import PASS_A_RATE
from etastar.core.optimizers import Attached, MadeOptimizer, checked_optimizer
from etastar.core.schedule_of import rate_in_use
from etastar.errors import ProblemError

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Settings of an optimizer and its groups that are rates; the last two are OneCycleLR's."""
ALIKE = {"Adam", "AdamW"}
"""They differ in weight decay alone."""
OF_SCHEDULERS = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")
"""Attributes of torch's schedulers that are rates."""


def apply_rate(lr: float, optimizer: torch.optim.Optimizer, *schedulers: Any) -> float:
    """Make `lr` the optimizer's rate: every rate there is, times lr / (the rate in use).

    So groups keep their ratios, and schedulers go on where they are. A rate that is a tensor is changed in place.

    Args:
        schedulers: those on the optimizer, all of them; a `Controller`, too.

    Returns:
        What all rates were multiplied by.

    Raises:
        ProblemError: there is no rate in use, or schedulers that were not given would set the old one again.

    >>> body, head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> groups = [{"params": body.parameters(), "lr": 1e-4}, {"params": head.parameters()}]
    >>> optimizer = torch.optim.SGD(groups, lr=1e-3)
    >>> round(apply_rate(0.02, optimizer), 9), [round(group["lr"], 9) for group in optimizer.param_groups]
    (20.0, [0.002, 0.02])
    """
    default = checked_optimizer(optimizer).defaults.get("lr")
    if default is None or not float(default) > 0:
        raise ProblemError(f"the optimizer's default lr is {default!r}; {PASS_A_RATE}")
    if not schedulers and (hasattr(optimizer.step, "_wrapped_by_lr_sched") or _is_driven(optimizer)):
        raise ProblemError(
            "the optimizer has a scheduler (or a Controller), which would set the old rates again; expected both: "
            "apply(optimizer, scheduler)"
        )
    every = list(_flat(schedulers))
    of_torch = [scheduler for scheduler in every if hasattr(scheduler, "optimizer")]  # a Controller is none
    factor = lr / rate_in_use(MadeOptimizer(optimizer, tuple(map(Attached, of_torch))))
    done: set[int] = set()
    for settings in (optimizer.defaults, *optimizer.param_groups):
        for name in RATES:
            if name in settings:
                settings[name] = _times(settings[name], factor, done)
    for scheduler in every:
        if rescale := getattr(scheduler, "rescale", None):
            rescale(factor)
            continue
        own: MutableMapping[str, Any] = vars(scheduler)
        for name in OF_SCHEDULERS:
            if name in own:
                own[name] = _times(own[name], factor, done)
    return factor


def refuse_other_kind(optimizer: torch.optim.Optimizer, measured: str) -> None:
    """A rate measured with one of torch's optimizers is none of another: SGD's best is a thousand times Adam's.

    Args:
        measured: its class, as far as it is known; several are joined by " + ".

    Raises:
        ProblemError: it is of another class, Adam and AdamW apart.

    >>> refuse_other_kind(torch.optim.Adam([torch.nn.Parameter(torch.ones(1))]), "SGD")
    Traceback (most recent call last):
    etastar.errors.ProblemError: the rate was measured with SGD, and the optimizer's class is Adam; measure it with this one
    """
    own = [c.__name__ for c in type(optimizer).__mro__ if c.__module__.startswith("torch.optim.")]
    own = [name for name in own if name != "Optimizer"]
    known = " + " in measured or (hasattr(torch.optim, measured) if measured else False)
    if own and known and measured not in own and not {measured, own[0]} <= ALIKE:
        raise ProblemError(
            f"the rate was measured with {measured}, and the optimizer's class is {own[0]}; measure it with this one"
        )


def _is_driven(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a `Controller` sets its rates."""
    hooks = getattr(optimizer, "_optimizer_step_post_hooks", {}).values()
    return any(hasattr(getattr(hook, "__self__", None), "rescale") for hook in hooks)


def _times(rate: Any, factor: float, done: set[int]) -> Any:
    """`rate` x `factor`: a number, a list of them, or a tensor, which several groups may share and is changed once."""
    if isinstance(rate, list):
        return [_times(own, factor, done) for own in rate]
    if isinstance(rate, torch.Tensor):
        if id(rate) not in done:
            rate.mul_(factor)
        done.add(id(rate))
        return rate
    return None if rate is None else rate * factor


def _flat(schedulers: Any) -> Iterator[Any]:
    """Schedulers, and those they are made of."""
    for scheduler in schedulers:
        yield scheduler
        yield from _flat(getattr(scheduler, "_schedulers", ()))
