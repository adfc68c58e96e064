"""What the first training batches say of a problem, with its untrained model, before any lane."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from statistics import fmean, stdev
from typing import Any

import torch
from torch.utils.data import TensorDataset

from etastar.core.accuracy import class_dims, declared_ignored, spare_loss
from etastar.core.batch import Batch, is_tensor_tree
from etastar.core.kinds import loss_kind
from etastar.core.lane import Criterion
from etastar.core.objective import check_scalar, split, unchanged_buffers, without_graph
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import to
from etastar.core.uninformed import uninformed_loss
from etastar.errors import ProblemError, call

LABEL_BATCHES = 50
START_BATCHES = 8
NOISE = 3.0
"""Standard errors, over batches, that a bound must lie above the untrained model's loss to count as met without training.
With 13 losses and initialisations, batches of 2 to 128, none did: the uninformed loss was 0.5 - 1.2 times that loss."""


@dataclass(frozen=True)
class FirstBatches:
    """What the first training batches hold, for an untrained model.

    Args:
        outputs: of the model on the first one; None under `loss_fn`, which hides them.
        targets: of all of them, where they are tensors.
        start_losses: of the model, on some.
    """

    outputs: Any
    targets: tuple[torch.Tensor, ...]
    start_losses: tuple[float, ...]


def look_at_batches(problem: Problem, model: torch.nn.Module, device: str) -> FirstBatches:
    """One pass over the first training batches; only their targets are kept."""
    spare = problem.but(loss=spare_loss(problem.loss), loss_fn=spare_loss(problem.loss_fn))
    outputs: list[Any] = []
    targets: list[Any] = []
    losses: list[float] = []
    first = problem.parts.batches.epoch(derive_seed(problem.seed, "labels"), 0)
    with closing(first) as epoch, torch.no_grad(), unchanged_buffers(model):
        for _ in range(START_BATCHES if problem.loss is None else LABEL_BATCHES):
            some = call("reading a training batch", next, epoch, None)
            if some is None:
                break
            batch = to(some, device)
            if problem.loss is not None:
                targets.append(split(batch)[1])
            if len(losses) < START_BATCHES:
                out, loss = _outputs_and_loss(spare, model, batch)
                losses.append(loss)
                outputs.append(out if not outputs else None)
    tensors = tuple(t for t in targets if isinstance(t, torch.Tensor) and t.dim() > 0)
    finite = tuple(loss for loss in losses if math.isfinite(loss))
    return FirstBatches(outputs[0] if outputs else None, tensors if len(tensors) == len(targets) else (), finite)


def _outputs_and_loss(problem: Problem, model: torch.nn.Module, batch: Batch) -> tuple[Any, float]:
    if problem.loss_fn is not None:
        return None, _number(call("the loss", without_graph, problem.loss_fn, model, batch))
    inputs, targets = split(batch)
    outputs = call("the model", model, inputs)
    return outputs, _number(call("the loss", problem.parts.loss, outputs, targets))


def _number(loss: Any) -> float:
    check_scalar(loss)
    return float(loss.detach())


def uninformed_on(problem: Problem, outputs: Any, targets: tuple[torch.Tensor, ...]) -> float | None:
    """The uninformed loss of training batches; None where there are no outputs that could be replaced."""
    if problem.loss is None or not targets or not isinstance(outputs, torch.Tensor):
        return None
    return uninformed_loss(problem.loss, outputs.detach(), targets)


def is_too_easy(problem: Problem, criterion: Criterion, data: FirstBatches) -> bool:
    """Whether the bound lies clearly above where networks start: they meet it untrained."""
    if criterion.accuracy is not None or len(data.start_losses) < 2:
        return False
    start = fmean(data.start_losses)
    least = start + NOISE * stdev(data.start_losses) / math.sqrt(len(data.start_losses))
    if criterion.bound(start) <= least or criterion.uninformed is None or criterion.loss is not None:
        return criterion.bound(start) > least
    same = uninformed_on(
        problem, data.outputs, data.targets[: len(data.start_losses)]
    )  # a few batches may be easier than all
    return same is not None and criterion.fraction * same > least


def check_labels(problem: Problem, model: torch.nn.Module, batch: Batch) -> None:
    """Under cross-entropy, integer labels must name a class the model has an output for."""
    if loss_kind(problem.loss) != "cross-entropy":
        return
    inputs, targets = split(batch)
    outputs = call("the model", model, inputs)
    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor):
        return
    dims = class_dims(outputs, targets)
    if not dims:
        return
    classes = outputs.shape[dims[0]]
    ignored = declared_ignored(problem.loss)
    in_memory = isinstance(problem.train, TensorDataset) or is_tensor_tree(problem.train)
    with closing(problem.parts.batches.epoch(0, 0, shuffle=False)) as epoch:
        for some in islice(epoch, None if in_memory else LABEL_BATCHES):
            labels = split(some)[1]
            wrong = labels[((labels >= classes) | (labels < 0)) & (labels != ignored)]
            if wrong.numel():
                raise ProblemError(
                    f"a label is {int(wrong[0])} but the model has {classes} outputs; expected labels 0..{classes - 1}: "
                    "fix the labels or the output layer"
                )


def input_flags(batch: Batch) -> list[str]:
    """Whether the inputs of a batch are far from centred or far from unit scale."""
    inputs = batch[0] if isinstance(batch, (tuple, list)) else None
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point() or inputs.numel() < 2:
        return []
    known = inputs[torch.isfinite(inputs)].double()
    mean, square = float(known.mean()), float(known.square().mean())
    flags = []
    if square > 0 and mean**2 > 0.25 * square:
        flags.append("inputs-not-centred")
    if not 0.05 <= square <= 20:
        flags.append("inputs-badly-scaled")
    return flags
