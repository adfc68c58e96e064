"""A rate given to an optimizer of the user's that is already made, and to the schedulers on it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import torch

from etastar.core.groups import PASS_A_RATE
from etastar.core.optimizers import Attached, MadeOptimizer
from etastar.core.schedule_of import rate_in_use
from etastar.errors import ProblemError

RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""Settings of an optimizer and its groups that are rates; the last two are OneCycleLR's."""
OF_SCHEDULERS = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")
"""Attributes of torch's schedulers that are rates."""


def apply_rate(lr: float, optimizer: torch.optim.Optimizer, *schedulers: Any) -> float:
    """Make `lr` the optimizer's rate: every rate there is, times lr / (the rate in use).

    So groups keep their ratios, and schedulers go on where they are. A rate that is a tensor is changed in place.

    Args:
        schedulers: those on the optimizer, all of them.

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
    default = optimizer.defaults.get("lr")
    if default is None or not float(default) > 0:
        raise ProblemError(f"the optimizer's default lr is {default!r}; {PASS_A_RATE}")
    if not schedulers and hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        raise ProblemError(
            "the optimizer has a scheduler, which would set the old rates again; expected both: apply(optimizer, scheduler)"
        )
    every = list(_flat(schedulers))
    factor = lr / rate_in_use(MadeOptimizer(optimizer, tuple(map(Attached, every))))
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
