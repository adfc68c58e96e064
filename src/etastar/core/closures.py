"""Whether an optimizer's step must be given a closure that computes the loss anew: LBFGS, SAM and the like."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from weakref import WeakKeyDictionary

import torch

_KNOWN: WeakKeyDictionary[type[torch.optim.Optimizer], bool] = WeakKeyDictionary()

Scratch = Callable[[], AbstractContextManager[torch.optim.Optimizer]]


def needs_closure(optimizer: torch.optim.Optimizer, scratch: Scratch) -> bool:
    """Whether `step()` without a closure fails and with one does not.

    Where the closure has a default, signatures do not tell: an optimizer that is not torch's is tried, once per class.

    Args:
        scratch: gives an optimizer of the same kind that may be spoiled.
    """
    kind = type(optimizer)
    if demands_closure(optimizer):
        return True
    if _closure_of(optimizer) is None:
        return False
    if kind.__module__.startswith("torch.optim"):
        return False
    if kind not in _KNOWN:
        _KNOWN[kind] = not _steps(scratch) and _steps(scratch, lambda: torch.zeros(()))
    return _KNOWN[kind]


def demands_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its `step` says that there must be one.

    >>> layer = torch.nn.Linear(1, 1)
    >>> demands_closure(torch.optim.LBFGS(layer.parameters())), demands_closure(torch.optim.SGD(layer.parameters()))
    (True, False)
    """
    closure = _closure_of(optimizer)
    return closure is not None and closure.default is inspect.Parameter.empty


def _closure_of(optimizer: torch.optim.Optimizer) -> inspect.Parameter | None:
    return inspect.signature(inspect.unwrap(type(optimizer).step)).parameters.get("closure")


def _steps(scratch: Scratch, *closure: Callable[[], Any]) -> bool:
    """Whether a step under gradients of zero goes through."""
    with scratch() as optimizer:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p) if p.requires_grad else None
        try:
            optimizer.step(*closure)
        except Exception:  # the user's code, called in a way it may not know
            return False
        return True
