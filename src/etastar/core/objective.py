"""What a batch says: loss and accuracy of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from etastar.core.accuracy import AccuracyRule, accuracy_rule
from etastar.core.batch import Batch, map_tensors
from etastar.core.kept import unmoved
from etastar.core.randomness import isolated_randomness
from etastar.errors import ProblemError, UserCodeRaised

if TYPE_CHECKING:
    from etastar.core.problem import Problem

Result = TypeVar("Result")
ACCURACY = "accuracy"
"""Under this name a problem keeps what its loss said of accuracy."""
NO_GRAPH = "does not require grad"
"""What torch says to who differentiates something that has no graph."""


def loss_and_accuracy(problem: Problem, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Loss (scalar, differentiable) and accuracy (scalar in [0, 1], or None where there is no such thing).

    Accuracy is `metric_fn` where it is given, else counted as the loss says (`AccuracyRule`).

    Raises:
        ProblemError: the batch is not (inputs, targets) where `loss` needs it, or the loss is not a real scalar.
    """
    metric = _user_metric(problem, model, batch)  # first: it may not disturb what the loss saves for its backward pass
    if problem.loss_fn is not None:
        loss = problem.loss_fn(model, batch)
        check_scalar(loss)
        return loss, metric
    inputs, targets = split(batch)
    outputs = model(inputs)
    loss = problem.parts.loss(outputs, targets)
    check_scalar(loss)
    if problem.metric_fn is not None:
        return loss, metric
    rule = known_accuracy(problem, outputs, targets)
    return loss, None if rule is None else rule(outputs.detach(), targets)


def split(batch: Batch) -> tuple[Any, Any]:
    """(inputs, targets) of a batch."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    kind = f"a {type(batch).__name__}" + (f" of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else "")
    raise ProblemError(f"a training batch is {kind}; loss needs (inputs, targets): pass loss_fn(model, batch) instead")


def known_accuracy(problem: Problem, outputs: Any, *targets: Any) -> AccuracyRule | None:
    """The problem's rule, asked of its loss once, with the `targets` of some batches; None where it has none."""
    if ACCURACY not in problem.asked:
        plain = problem.loss is not None and all(isinstance(x, torch.Tensor) for x in (outputs, *targets))
        with unmoved(problem.loss):
            problem.asked[ACCURACY] = accuracy_rule(problem.loss, outputs, targets) if plain else None
    return problem.asked[ACCURACY]


def accuracy_of(problem: Problem, model: nn.Module) -> AccuracyRule | None:
    """The same for who has no outputs yet; the first training batch is read and `model` left as it is."""
    if ACCURACY not in problem.asked and problem.loss is not None:
        with torch.no_grad(), unchanged_buffers(model), isolated_randomness():
            inputs, targets = split(next(iter(problem.parts.batches.epoch(0, 0))))
            leaf = next(model.parameters())
            inputs, targets = (map_tensors(lambda t: t.to(leaf.device), part) for part in (inputs, targets))
            floats = lambda t: t.to(leaf.dtype) if t.is_floating_point() else t
            known_accuracy(problem, model(map_tensors(floats, inputs)), map_tensors(floats, targets))
    return problem.asked.get(ACCURACY)


def _user_metric(problem: Problem, model: nn.Module, batch: Batch) -> torch.Tensor | None:
    if problem.metric_fn is None:
        return None
    with torch.no_grad(), unchanged_buffers(model), isolated_randomness():
        return torch.as_tensor(problem.metric_fn(model, batch), dtype=torch.float64)


def without_graph(function: Callable[..., Result], *args: Any) -> Result:
    """What `function` says of a loss, no graph kept; one that differentiates (a gradient penalty, an equation) gets its own.

    >>> w = torch.tensor([3.0], requires_grad=True)
    >>> float(without_graph(lambda: torch.autograd.grad((w**2).sum(), w)[0]))
    6.0
    """
    try:
        with torch.no_grad():
            return function(*args)
    except (RuntimeError, UserCodeRaised) as error:
        if NO_GRAPH not in str(error):
            raise
    with torch.enable_grad():
        return function(*args)


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


def check_scalar(loss: Any) -> None:
    """Raise `ProblemError` if a loss is no real scalar."""
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or loss.is_complex():
        if not isinstance(loss, torch.Tensor):
            raise ProblemError(
                f"the loss is of type {type(loss).__name__}; expected a scalar tensor: return it from the loss"
            )
        shape = tuple(loss.shape)
        raise ProblemError(f"the loss has shape {shape}; expected a real scalar: reduce it, e.g. reduction='mean'")
