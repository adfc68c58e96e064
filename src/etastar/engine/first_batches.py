"""What the first training batches say of a problem, with its untrained model, before any lane."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import fmean, stdev
from typing import Any

import torch
from torch.utils.data import TensorDataset

from etastar.core.accuracy import class_dims, declared_ignored, spare_loss
from etastar.core.batch import Batch, is_tensor_tree
from etastar.core.deadline import check_time
from etastar.core.kinds import loss_kind
from etastar.core.lane import Criterion
from etastar.core.objective import check_scalar, split, unchanged_buffers, without_graph
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.read_ahead import read_ahead
from etastar.core.setup import to
from etastar.core.uninformed import uninformed_loss
from etastar.engine.memory import kept_for_backward
from etastar.errors import ProblemError, call

LABEL_BATCHES = 50
START_BATCHES = 8
LARGE = 2**28
"""Bytes that one pass over a batch keeps for its backward pass from which every pass is dear: a step takes .4 s of a core or
more (ResNet-18 of width 16 on 128 pictures keeps .35 GB and takes .4 s, of width 64 1.4 GB and 3.4 s). Bytes, not
seconds: what is done before training decides which problem of the store this is, and must not depend on a busy machine."""
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
        large: whether one pass was enough, as every pass is dear.
    """

    outputs: Any
    targets: tuple[torch.Tensor, ...]
    start_losses: tuple[float, ...]
    large: bool = False


def look_at_batches(problem: Problem, model: torch.nn.Module, device: str) -> FirstBatches:
    """One pass over the first training batches; only their targets are kept. One batch alone is passed where that is dear.

    Raises:
        ProblemError: a label names a class that the model has no output for.
    """
    spare = problem.but(loss=spare_loss(problem.loss), loss_fn=spare_loss(problem.loss_fn))
    epoch = read_ahead(problem.parts.batches, derive_seed(problem.seed, "labels"), LABEL_BATCHES)
    with closing(epoch), torch.no_grad(), unchanged_buffers(model):
        read = (to(some, device) for some in iter(lambda: _next(epoch), None))
        first = list(islice(read, START_BATCHES))
        if not first:
            return FirstBatches(None, (), ())
        targets = [split(batch)[1] for batch in first] if problem.loss is not None else []
        with kept_for_backward(model) as kept:
            outputs = _outputs(spare, model, first[0], targets)
            losses = [_loss(spare, model, first[0], outputs)]
        outputs = outputs.detach() if isinstance(outputs, torch.Tensor) else outputs
        large = sum(kept.values()) >= LARGE
        if not large:
            losses += [_loss(spare, model, batch, _outputs(spare, model, batch)) for batch in first[1:]]
        if not large and problem.loss is not None:
            more = [split(batch)[1] for batch in islice(read, LABEL_BATCHES - len(first))]
            check_labels(problem, outputs, more)
            targets += more
    tensors = tuple(t for t in targets if isinstance(t, torch.Tensor) and t.dim() > 0)
    finite = tuple(loss for loss in losses if math.isfinite(loss))
    return FirstBatches(outputs, tensors if len(tensors) == len(targets) else (), finite, large)


def _next(epoch: Iterator[Batch]) -> Batch | None:
    check_time()
    return call("reading a training batch", next, epoch, None)


def _outputs(problem: Problem, model: torch.nn.Module, batch: Batch, labels: Sequence[Any] = ()) -> Any:
    """The model's; None under `loss_fn`. The `labels` given, and all in memory, are checked before a loss sees any."""
    if problem.loss is None:
        return None
    outputs = call("the model", model, split(batch)[0])
    if labels:
        check_labels(problem, outputs, labels)
        check_labels(problem, outputs, _labels_in_memory(problem))
    return outputs


def _loss(problem: Problem, model: torch.nn.Module, batch: Batch, outputs: Any) -> float:
    if problem.loss_fn is not None:
        way = partial(without_graph, problem.loss_fn) if not torch.is_grad_enabled() else problem.loss_fn
        return _number(call("the loss", way, model, batch))
    return _number(call("the loss", problem.parts.loss, outputs, split(batch)[1]))


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


def are_unpaired(problem: Problem, outputs: Any, targets: tuple[torch.Tensor, ...]) -> bool:
    """Whether the loss compares every output with every target, as broadcasting [n, 1] with [n] to [n, n] makes it.

    It then does not change as the targets change places, whatever the outputs.
    """
    if problem.loss is None or not targets or not isinstance(outputs, torch.Tensor) or not outputs.is_floating_point():
        return False
    own = targets[0]
    try:
        common = torch.broadcast_shapes(outputs.shape, own.shape)
    except RuntimeError:
        return False
    if common.numel() <= max(outputs.numel(), own.numel()) or bool((own == own[0]).all()):
        return False
    drawn = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(outputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        as_given, moved = (_number(call("the loss", problem.parts.loss, drawn, t)) for t in (own, own.roll(1, 0)))
    return math.isfinite(as_given) and math.isclose(as_given, moved, rel_tol=1e-4)


def check_labels(problem: Problem, outputs: Any, targets: Iterable[Any]) -> None:
    """Under cross-entropy, integer labels of some batches must name a class the model has an output for."""
    if loss_kind(problem.loss) != "cross-entropy" or not isinstance(outputs, torch.Tensor):
        return
    ignored = declared_ignored(problem.loss)
    for labels in targets:
        if not isinstance(labels, torch.Tensor) or not (dims := class_dims(outputs, labels)):
            return
        classes = outputs.shape[dims[0]]
        wrong = labels[((labels >= classes) | (labels < 0)) & (labels != ignored)]
        if wrong.numel():
            raise ProblemError(
                f"a label is {int(wrong[0])} but the model has {classes} outputs; expected labels 0..{classes - 1}: "
                "fix the labels or the output layer"
            )


def _labels_in_memory(problem: Problem) -> Iterator[Any]:
    if isinstance(problem.train, TensorDataset) or is_tensor_tree(problem.train):
        with closing(problem.parts.batches.epoch(0, 0, shuffle=False)) as epoch:
            yield from (split(batch)[1] for batch in epoch)


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
