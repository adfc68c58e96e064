"""Before any lane: build the problem once, check it, and learn what the designs need to know about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch.utils.data import TensorDataset

from etastar.core.data import Batch, check_finite, is_tensor_tree, stream
from etastar.core.lane import Criterion, Lane, Until
from etastar.core.numerics import steady_numerics
from etastar.core.objective import class_dim, loss_and_accuracy, split, uninformed_loss
from etastar.core.optimizers import optimizer_name
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.core.setup import Group, Setup, call, check_fresh_storage, default_lr, in_words, set_up, to
from etastar.engine.loop import LoopEngine
from etastar.errors import ProblemError

TRACE_LR = 1e-3
LABEL_BATCHES = 50
START_STEPS = 200


@dataclass(frozen=True)
class Preflight:
    """What is known of a problem before it is measured.

    Args:
        lr: the rate in use today; None for a user's own loop that did not say.
        optimizer: class name of the optimizer, "" if unknown.
        momentum: whether it is SGD with momentum.
        groups: parameter groups and their multipliers.
        parameters: number of trainable and frozen parameters.
        shapes: name -> shape of the model's state.
        criterion: when a lane has started to train.
        trace: two losses of a fixed lane and its validation loss in float64, the problem's signature in numbers.
        reproducible: whether that lane gave the same losses twice.
        seconds_per_step: of the reference loop.
        flags: keys of `etastar.FLAGS`.
    """

    lr: float | None
    optimizer: str
    momentum: bool
    groups: tuple[Group, ...]
    parameters: int
    shapes: dict[str, tuple[int, ...]]
    defaults: dict[str, Any]
    criterion: Criterion
    first_loss: float
    trace: tuple[float, ...]
    reproducible: bool
    seconds_per_step: float
    flags: tuple[str, ...]

    def said(self, lr: float) -> str:
        """A rate as sentences name it: the number, or the rates it gives the groups; see `in_words`."""
        return in_words(lr, self.groups, each=" + " in self.optimizer)


def preflight(problem: Problem, device: str = "cpu") -> Preflight:
    """Build and check `problem`; the caller's objects and random state are as before.

    Raises:
        ProblemError: with the sentence that says what to change.
    """
    with isolated_randomness():
        return _of_loop(problem) if problem.loop is not None else _of_parts(problem, device)


def start_steps(problem: Problem) -> int:
    """The steps within which a lane must start to train: min(planned steps, 200)."""
    return min(problem.steps, START_STEPS)


def _of_parts(problem: Problem, device: str) -> Preflight:
    assert problem.batches is not None
    check_fresh_storage(problem)
    seed = derive_seed(problem.seed, "preflight")
    sample = call("reading a training batch", next, stream(problem.batches, seed))
    check_finite(sample, "a training batch")
    with steady_numerics():
        setup = set_up(problem, seed, device=device, example=sample)
        batch = to(sample, device)
        _check_labels(problem, setup.model, batch)
        loss, accuracy = call("the loss", loss_and_accuracy, problem, setup.model, batch)
        first_loss = float(loss.detach())
        if not math.isfinite(first_loss):
            raise ProblemError(f"the loss at initialisation is {first_loss}; expected a finite number: check data and model")
        if problem.accuracy_threshold is not None and accuracy is None:
            raise ProblemError(
                "accuracy_threshold was given but these outputs and targets have no accuracy; pass metric_fn, "
                "or use loss_threshold"
            )
        uninformed = _uninformed(problem, setup.model, batch)
    criterion = _criterion(problem, uninformed, first_loss)
    bare = problem if problem.valid is None else problem.but(valid=None)
    dtype, trace = _first_trace(problem, criterion, device)
    again = _trace(bare, criterion, device, dtype)
    flags = input_flags(sample)
    if uninformed and first_loss > 3 * uninformed:
        flags.append("loss-starts-high")
    flags += schedule_flags(problem, setup)
    if not _same(trace[: len(again)], again):
        flags.append("not-reproducible")
    optimizer = setup.optimizer
    return Preflight(
        lr=default_lr(optimizer),
        optimizer=optimizer_name(optimizer),
        momentum=float(optimizer.defaults.get("momentum", 0) or 0) > 0,
        groups=setup.groups,
        parameters=sum(g.parameters for g in setup.groups),
        shapes={name: tuple(t.shape) for name, t in setup.model.state_dict().items() if isinstance(t, torch.Tensor)},
        defaults={k: v for k, v in optimizer.defaults.items() if k != "lr"},
        criterion=criterion,
        first_loss=first_loss,
        trace=trace,
        reproducible="not-reproducible" not in flags,
        seconds_per_step=seconds_per_step(problem, criterion, device),
        flags=tuple(flags),
    )


def _of_loop(problem: Problem) -> Preflight:
    criterion = _criterion(problem, None, None)
    trace, again = (_trace(problem, criterion, "cpu") for _ in range(2))
    if not all(map(math.isfinite, trace)):
        raise ProblemError(f"your training loop reported losses {list(trace)} at lr={TRACE_LR}; expected finite numbers")
    reproducible = _same(trace, again)
    return Preflight(
        lr=problem.loop_lr,
        optimizer=problem.loop_optimizer or "",
        momentum=False,
        groups=(),
        parameters=0,
        shapes={},
        defaults={},
        criterion=criterion,
        first_loss=trace[0],
        trace=trace,
        reproducible=reproducible,
        seconds_per_step=seconds_per_step(problem, criterion, "cpu"),
        flags=() if reproducible else ("not-reproducible",),
    )


def _criterion(problem: Problem, uninformed: float | None, first_loss: float | None) -> Criterion:
    reference = first_loss if uninformed is None else uninformed
    by_fraction = problem.accuracy_threshold is None and problem.loss_threshold is None
    if by_fraction and reference is not None and reference <= 0:
        raise ProblemError(
            f"the uninformed loss is {reference:.4g}; expected a positive one for the default criterion: pass loss_threshold"
        )
    return Criterion(accuracy=problem.accuracy_threshold, loss=problem.loss_threshold, uninformed=uninformed)


def _uninformed(problem: Problem, model: torch.nn.Module, batch: Batch) -> float | None:
    """The uninformed loss over the training targets; None for losses that see the whole batch."""
    if problem.loss is None or problem.batches is None:
        return None
    inputs, targets = split(batch)
    outputs = model(inputs)
    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor) or targets.dim() == 0:
        return None
    epoch = problem.batches.epoch(derive_seed(problem.seed, "labels"), 0)
    targets = torch.cat([split(b)[1] for b in islice(epoch, LABEL_BATCHES)])
    return call("the loss", uninformed_loss, problem, outputs.detach(), targets.to(outputs.device))


def _check_labels(problem: Problem, model: torch.nn.Module, batch: Batch) -> None:
    """Under cross-entropy, integer labels must name a class the model has an output for."""
    if not _is_cross_entropy(problem.loss) or problem.batches is None:
        return
    inputs, targets = split(batch)
    outputs = call("the model", model, inputs)
    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor):
        return
    dim = class_dim(outputs, targets)
    if dim is None:
        return
    classes = outputs.shape[dim]
    ignored = _ignored_label(problem.loss)
    in_memory = isinstance(problem.train, TensorDataset) or is_tensor_tree(problem.train)
    for some in islice(problem.batches.epoch(0, 0, shuffle=False), None if in_memory else LABEL_BATCHES):
        labels = split(some)[1]
        wrong = labels[((labels >= classes) | (labels < 0)) & (labels != ignored)]
        if wrong.numel():
            raise ProblemError(
                f"a label is {int(wrong[0])} but the model has {classes} outputs; expected labels 0..{classes - 1}: "
                "fix the labels or the output layer"
            )


def _is_cross_entropy(loss: Any) -> bool:
    loss = loss.func if isinstance(loss, partial) else loss
    kinds = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
    return loss in (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss) or isinstance(loss, kinds)


def _ignored_label(loss: Any) -> int:
    if isinstance(loss, partial):
        return loss.keywords.get("ignore_index", -100)
    return getattr(loss, "ignore_index", -100)


def _trace(problem: Problem, criterion: Criterion, device: str, dtype: torch.dtype | None = None) -> tuple[float, ...]:
    """Losses of the first two steps of a fixed lane, then its loss on the validation data, where there are any."""
    lane = Lane(TRACE_LR, derive_seed(0, "trace"), 2, criterion, Until.END)
    outcome = LoopEngine(device, dtype).train_lane(problem, lane)
    valid = () if outcome.valid_loss is None else (outcome.valid_loss,)
    return (*(row.loss for row in outcome.trace), *valid)


def _first_trace(problem: Problem, criterion: Criterion, device: str) -> tuple[torch.dtype | None, tuple[float, ...]]:
    """In float64, unless the model insists on its own type."""
    try:
        return torch.float64, _trace(problem, criterion, device, torch.float64)
    except ProblemError:
        return None, _trace(problem, criterion, device)


def seconds_per_step(problem: Problem, criterion: Criterion, device: str, steps: int = 8) -> float:
    """Wall time of one step of the reference loop: the total of a short lane, its set-up included."""
    lane = Lane(TRACE_LR, derive_seed(0, "timing"), steps, criterion)
    outcome = LoopEngine(device).train_lane(problem, lane)
    return outcome.seconds / max(outcome.steps, 1)


def _same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=1e-9) or x == y for x, y in zip(a, b, strict=True))


def schedule_flags(problem: Problem, setup: Setup) -> list[str]:
    """What must be said of where the schedule came from."""
    if problem.followed.rates is not None:
        return ["schedule-from-optimizer"]
    left = any("initial_lr" in group for group in setup.optimizer.param_groups)
    return ["schedule-unknown"] if left and problem.schedule is None else []


def input_flags(batch: Batch) -> list[str]:
    """Whether the inputs of a batch are far from centred or far from unit scale."""
    inputs = batch[0] if isinstance(batch, (tuple, list)) else None
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point() or inputs.numel() < 2:
        return []
    mean, square = float(inputs.double().mean()), float(inputs.double().square().mean())
    flags = []
    if square > 0 and mean**2 > 0.25 * square:
        flags.append("inputs-not-centred")
    if not 0.05 <= square <= 20:
        flags.append("inputs-badly-scaled")
    return flags
