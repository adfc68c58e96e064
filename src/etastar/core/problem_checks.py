"""What a problem may not be: said in one sentence when it is built, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from etastar import arguments
from etastar.core.batch import is_tensor_tree, tensors_in
from etastar.core.beginning import Beginning
from etastar.errors import ProblemError

if TYPE_CHECKING:
    from etastar.core.problem import Problem


def check_numbers(p: Problem) -> None:
    """The horizon, thresholds, sizes, seed and names."""
    arguments.STEPS("steps", p.steps)
    if p.accuracy_threshold is not None and p.loss_threshold is not None:
        raise ProblemError("both accuracy_threshold and loss_threshold were given; expected at most one: drop one")
    checks = {
        "the accuracy threshold": (p.accuracy_threshold, arguments.ACCURACY),
        "the loss threshold": (p.loss_threshold, arguments.FINITE),
        "batch_size": (p.batch_size, arguments.BATCH_SIZE),
        "clip_grad_norm": (p.clip_grad_norm, arguments.POSITIVE),
        "lr": (p.loop_lr, arguments.RATE),
    }
    for name, (value, check) in checks.items():
        if value is not None:
            check(name, value)
    arguments.ACCUMULATE("accumulate", p.accumulate)
    if p.start_from is not None:
        arguments.instance("start_from", p.start_from, Beginning, "a Beginning, e.g. Beginning.of(CHECKPOINT, step)")
    arguments.SEED("seed", p.seed)
    for name in ("name", "label", "loop_optimizer"):
        if (value := getattr(p, name)) is not None:
            arguments.instance(name.removeprefix("loop_"), value, str, "a name")


def check_watch(p: Problem) -> None:
    """Data that policies see is not the data that lanes are scored on, and has a length."""
    if p.watch is None:
        return
    if _identity(p.watch) == _identity(p.valid):
        raise ProblemError("watch is the data of valid; expected other samples: no policy may see what it is scored on")
    if p.watch_batches is not None and p.watch_batches.size is None and p.watch_batches.per_epoch is None:
        raise ProblemError("watch does not say how long it is; expected tensors, a Dataset, or a DataLoader with a length")


def _identity(data: Any) -> set[int]:
    """The tensors, or the dataset, that data are made of."""
    data = data.dataset if isinstance(data, torch.utils.data.DataLoader) else data
    data = tuple(data.tensors) if isinstance(data, torch.utils.data.TensorDataset) else data
    return {id(part) for part in tensors_in(data)} if is_tensor_tree(data) else {id(data)}


def check_parts(p: Problem) -> None:
    """Model, optimizer, loss and data are what a problem that is no loop is made of."""
    if isinstance(p.model, nn.Module) or not callable(p.model):
        raise ProblemError(
            f"model is a {type(p.model).__name__}; expected a function without arguments that returns a new nn.Module, "
            "e.g. model=lambda: copy.deepcopy(net)"
        )
    if isinstance(p.optimizer, torch.optim.Optimizer) or not callable(p.optimizer):
        raise ProblemError(
            f"optimizer is a {type(p.optimizer).__name__}; expected a function of the model, "
            "e.g. optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)"
        )
    if (p.loss is None) == (p.loss_fn is None):
        given = "both loss and loss_fn" if p.loss else "neither loss nor loss_fn"
        raise ProblemError(f"{given} given; expected exactly one: loss(outputs, targets) or loss_fn(model, batch)")
    for name in ("model", "optimizer", "loss", "loss_fn", "metric_fn"):
        arguments.plain_function(name, getattr(p, name))
    for name in ("loss", "loss_fn", "metric_fn"):
        if (fn := getattr(p, name)) is not None and not callable(fn):
            raise ProblemError(f"{name} is a {type(fn).__name__}; expected a function")
    if p.train is None:
        raise ProblemError("train is missing; expected tensors, a Dataset or a DataLoader, e.g. train=(inputs, targets)")
    if p.accuracy_threshold is not None and p.loss_fn is not None and p.metric_fn is None:
        raise ProblemError(
            "accuracy_threshold with loss_fn needs metric_fn(model, batch) -> accuracy; pass it, or use loss_threshold"
        )
