"""Training mode and eval mode of a model and of its optimizer, where that has modes, too (Schedule-Free)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


def start_training(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Put a new model in training mode, but for the parts that its function put in eval mode (a frozen BatchNorm).

    A model that is in eval mode as a whole, as `from_pretrained` returns it, is put in training mode as a whole.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
    >>> start_training(net)
    >>> net.training, net[1].training
    (True, False)
    """
    resting = [module for module in model.modules() if not module.training] if model.training else []
    model.train()
    for module in resting:
        module.training = False
    _switch(optimizer, "train")


def stays_in_eval(model: nn.Module) -> bool:
    """Whether a part that behaves otherwise in training (a BatchNorm, a Dropout) stays in eval mode."""
    return any(not m.training and isinstance(m, (_NormBase, _DropoutNd)) for m in model.modules())


@contextmanager
def evaluating(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Eval mode inside, for the optimizer, too; every module's mode is as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    _switch(optimizer, "eval")
    try:
        yield
    finally:
        _switch(optimizer, "train")
        for module, training in modes:
            module.training = training


@contextmanager
def unswitched(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Whatever modes an optimizer is put in inside, its parameters are bit-identical afterwards: from one kind of weights to
    the other and back, Schedule-Free rounds."""
    moved = [p for group in optimizer.param_groups for p in group["params"]] if has_modes(optimizer) else []
    saved = [p.detach().clone() for p in moved]
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(moved, saved, strict=True):
                p.copy_(value)


def has_modes(optimizer: torch.optim.Optimizer | None) -> bool:
    """Whether an optimizer evaluates at other weights than it trains at; torch's own have no modes."""
    return optimizer is not None and all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))


def _switch(optimizer: torch.optim.Optimizer | None, mode: str) -> None:
    """Tell an optimizer that has modes."""
    if has_modes(optimizer):
        getattr(optimizer, mode)()
