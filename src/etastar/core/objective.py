"""What a batch says: loss and accuracy of a model, and the loss of an uninformed guess."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from etastar.core.data import Batch
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness
from etastar.errors import ProblemError


def loss_and_accuracy(problem: Problem, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Loss (scalar, differentiable) and accuracy (scalar in [0, 1], or None where there is no such thing).

    Accuracy is the share of right classes for integer targets (class dimension 1 or last), the share of right signs for
    binary cross-entropy on logits, `metric_fn` where it is given.

    Raises:
        ProblemError: the batch is not (inputs, targets) where `loss` needs it, or the loss is not a real scalar.
    """
    metric = _user_metric(problem, model, batch)  # first: it may not disturb what the loss saves for its backward pass
    if problem.loss_fn is not None:
        loss = problem.loss_fn(model, batch)
        _check_scalar(loss)
        return loss, metric
    inputs, targets = split(batch)
    outputs = model(inputs)
    assert problem.loss is not None
    loss = problem.loss(outputs, targets)
    _check_scalar(loss)
    if problem.metric_fn is not None:
        return loss, metric
    return loss, accuracy(outputs.detach(), targets, binary=is_binary(problem.loss)) if _is_tensor(outputs) else None


def split(batch: Batch) -> tuple[Any, Any]:
    """(inputs, targets) of a batch."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    kind = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else "")
    raise ProblemError(f"a training batch is {kind}; loss needs (inputs, targets): pass loss_fn(model, batch) instead")


def class_dims(outputs: torch.Tensor, targets: torch.Tensor) -> list[int]:
    """The dimensions of `outputs` that may hold class scores for integer `targets`: torch's own, 1, then the last."""
    if targets.is_floating_point() or targets.is_complex() or outputs.dim() != targets.dim() + 1:
        return []
    dims = dict.fromkeys((min(1, outputs.dim() - 1), outputs.dim() - 1))
    return [d for d in dims if outputs.shape[:d] + outputs.shape[d + 1 :] == targets.shape and outputs.shape[d] > 1]


def class_dim(outputs: torch.Tensor, targets: torch.Tensor) -> int | None:
    """The first of `class_dims`; None if these are not class labels."""
    return next(iter(class_dims(outputs, targets)), None)


def accuracy(outputs: torch.Tensor, targets: Any, *, binary: bool = False) -> torch.Tensor | None:
    """Share of right answers; None where outputs and targets are not a classification. Negative labels are ignored.

    >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
    tensor(0.5000)
    """
    if not _is_tensor(targets):
        return None
    if binary:
        return ((outputs > 0) == (targets > 0.5)).float().mean()
    dim = class_dim(outputs, targets)
    if dim is None:
        return None
    counted = targets >= 0
    right = (outputs.argmax(dim) == targets) & counted
    return right.sum() / counted.sum().clamp(min=1)


def is_binary(loss: Any) -> bool:
    """Whether `loss` is binary cross-entropy on logits."""
    return loss is nn.functional.binary_cross_entropy_with_logits or isinstance(loss, nn.BCEWithLogitsLoss)


def uninformed_loss(problem: Problem, outputs: torch.Tensor, targets: torch.Tensor) -> float | None:
    """The loss of the best guess that ignores the input, through the user's own `loss`, so that its scale is right.

    Classes: outputs log p_c, the log frequencies of `targets`; for cross-entropy this is the entropy of the labels.
    Otherwise: the best constant, started from mean, median and 0 and refined by L-BFGS.

    Args:
        outputs: one batch of model outputs; only its shape after the batch dimension is used.
        targets: targets of (a sample of) the training data, [N, ...].

    Returns:
        None where no constant output can be formed (shapes that do not match).
    """
    assert problem.loss is not None
    shape = (len(targets), *outputs.shape[1:])
    dims = class_dims(outputs.new_empty(shape), targets)
    if dims:  # where classes and positions are equally many, the loss itself knows which is which: there it is smaller
        return min(float(problem.loss(_log_frequencies(targets, shape, dim), targets)) for dim in dims)
    if outputs.shape[1:] != targets.shape[1:] or not targets.is_floating_point():
        return None
    return _best_constant_loss(problem.loss, targets)


def _log_frequencies(targets: torch.Tensor, shape: tuple[int, ...], dim: int) -> torch.Tensor:
    """Outputs of `shape` whose class scores along `dim` are log p_c at every sample and position."""
    classes = shape[dim]
    counts = torch.bincount(targets[targets >= 0].flatten(), minlength=classes)[:classes].to(torch.get_default_dtype())
    log_p = (counts / counts.sum()).clamp(min=1e-12).log()
    return log_p.view([classes if d == dim else 1 for d in range(len(shape))]).expand(shape)


def _best_constant_loss(loss: Any, targets: torch.Tensor) -> float:
    def value(constant: torch.Tensor) -> torch.Tensor:
        return loss(constant.expand_as(targets), targets)

    known = torch.where(torch.isfinite(targets), targets, torch.nan)  # a loss may leave out what is missing
    starts = (known.nanmean(0).nan_to_num(), known.nanmedian(0).values.nan_to_num(), torch.zeros_like(targets[0]))
    start = min((s.detach().clone() for s in starts), key=lambda s: float(value(s)))
    best = float(value(start))
    constant = start.requires_grad_(True)
    optimizer = torch.optim.LBFGS([constant], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        current = value(constant)
        current.backward()
        return current

    with torch.enable_grad():
        optimizer.step(closure)
    refined = float(value(constant.detach()))
    return min(best, refined) if refined == refined else best


def _user_metric(problem: Problem, model: nn.Module, batch: Batch) -> torch.Tensor | None:
    if problem.metric_fn is None:
        return None
    with torch.no_grad(), unchanged_buffers(model), isolated_randomness():
        return torch.as_tensor(problem.metric_fn(model, batch), dtype=torch.float64)


@contextmanager
def unchanged_buffers(model: nn.Module) -> Iterator[None]:
    """Put the model's buffers (BatchNorm statistics) back after a forward pass that must leave no trace."""
    saved = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _check_scalar(loss: Any) -> None:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or loss.is_complex():
        if not isinstance(loss, torch.Tensor):
            raise ProblemError(
                f"the loss is of type {type(loss).__name__}; expected a scalar tensor: return it from the loss"
            )
        shape = tuple(loss.shape)
        raise ProblemError(f"the loss has shape {shape}; expected a real scalar: reduce it, e.g. reduction='mean'")
