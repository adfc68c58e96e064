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
    closure = inspect.signature(inspect.unwrap(kind.step)).parameters.get("closure")
    if closure is None:
        return False
    if closure.default is inspect.Parameter.empty:
        return True
    if kind.__module__.startswith("torch.optim"):
        return False
    if kind not in _KNOWN:
        _KNOWN[kind] = not _steps(scratch) and _steps(scratch, lambda: torch.zeros(()))
    return _KNOWN[kind]


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
