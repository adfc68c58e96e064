"""Before any lane: build the problem once, check it, and learn what the designs need to know about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import fmean, stdev
from typing import Any

import torch
from torch.utils.data import TensorDataset

from etastar.core.accuracy import class_dims, declared_ignored, spare_loss
from etastar.core.data import Batch, is_tensor_tree, stream
from etastar.core.finite_loss import check_batch, check_data
from etastar.core.kept import Kept, undisturbed, unmoved
from etastar.core.lane import Criterion, Lane, Until
from etastar.core.modes import stays_in_eval
from etastar.core.not_data import types_explained
from etastar.core.numerics import check_default_device, steady_numerics
from etastar.core.objective import check_scalar, known_accuracy, loss_and_accuracy, split, unchanged_buffers
from etastar.core.optimizers import optimizer_name
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import Group, Setup, check_fresh_storage, default_lr, in_words, set_up, to
from etastar.core.uninformed import uninformed_loss
from etastar.engine.loop import LoopEngine
from etastar.engine.user_loop import follow
from etastar.errors import ProblemError, call
from etastar.policies.policy import Constant

TRACE_LR = 1e-3
LABEL_BATCHES = 50
START_BATCHES = 8
NOISE = 3.0
"""Standard errors, over batches, that a bound must lie above the untrained model's loss to count as met without training.
With 13 losses and initialisations, batches of 2 to 128, none did: the uninformed loss was 0.5 - 1.2 times that loss."""
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
        squeezes: whether short lanes run the whole schedule, squeezed; not so in a user's own loop that may have one and
            asks neither for its length nor for its rate.
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
    squeezes: bool = True

    def said(self, lr: float) -> str:
        """A rate as sentences name it: the number, or the rates it gives the groups; see `in_words`."""
        return in_words(lr, self.groups, each=" + " in self.optimizer)


def preflight(problem: Problem, device: str = "cpu") -> Preflight:
    """Build and check `problem`; the caller's objects and random state are as before.

    Raises:
        ProblemError: with the sentence that says what to change.
    """
    check_default_device()
    with undisturbed(problem):
        return _of_loop(problem) if problem.loop is not None else _of_parts(problem, device)


def optimizer_settings(problem: Problem, device: str = "cpu") -> dict[str, Any]:
    """The settings of the problem's optimizer, its rate apart, of one that is built for it; none for a user's own loop.

    Raises:
        ProblemError: model, data or optimizer cannot be used.
    """
    if problem.batches is None:
        return {}
    with undisturbed(problem):
        check_fresh_storage(problem)
        seed = derive_seed(problem.seed, "preflight")
        sample = call("reading a training batch", next, stream(problem.batches, seed))
        return _settings(set_up(problem, seed, device=device, example=sample).optimizer)


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {k: v for k, v in optimizer.defaults.items() if k != "lr"}


def start_steps(problem: Problem) -> int:
    """The steps within which a lane must start to train: min(planned steps, 200)."""
    return min(problem.steps, START_STEPS)


def _of_parts(problem: Problem, device: str) -> Preflight:
    assert problem.batches is not None
    check_fresh_storage(problem)
    seed = derive_seed(problem.seed, "preflight")
    sample = call("reading a training batch", next, stream(problem.batches, seed))
    with steady_numerics():
        setup = set_up(problem, seed, device=device, example=sample)
        batch = to(sample, device)
        with types_explained(setup.model, batch):
            check_data(problem, setup, device)
            check_batch(problem, sample, "a training batch", device)
            _check_labels(problem, setup.model, batch)
            with unmoved(*problem.judges):
                data = _look_at_data(problem, setup.model, device)
                known_accuracy(problem, data.outputs, *data.targets)
            with unmoved(*problem.judges):
                loss, accuracy = call("the loss", loss_and_accuracy, problem, setup.model, batch)
            remembers = _remembers(problem, setup.model, batch)
        first_loss = float(loss.detach())
        if not math.isfinite(first_loss):
            raise ProblemError(f"the loss at initialisation is {first_loss}; expected a finite number: check data and model")
        if problem.metric_fn is not None and accuracy is not None and not 0 <= float(accuracy) <= 1:
            raise ProblemError(
                f"metric_fn returned {float(accuracy):g}; expected an accuracy in [0, 1], the share of right answers: "
                "divide percents by 100"
            )
        if problem.accuracy_threshold is not None and accuracy is None:
            raise ProblemError(
                "accuracy_threshold was given but the loss does not tell which outputs are right (class labels, shares of "
                "classes, or binary cross-entropy do); pass metric_fn(model, batch) -> accuracy, or use loss_threshold"
            )
        with unmoved(*problem.judges):
            uninformed = _uninformed(problem, data.outputs, data.targets)
    criterion = _criterion(problem, uninformed, first_loss)
    bare = problem if problem.valid is None else problem.but(valid=None)
    dtype, trace = _first_trace(problem, criterion, device)
    again = _trace(bare, criterion, device, dtype)
    flags = input_flags(sample) + remembers
    if uninformed and first_loss > 3 * uninformed:
        flags.append("loss-starts-high")
    flags += schedule_flags(problem, setup)
    if stays_in_eval(setup.model):
        flags.append("parts-in-eval")
    if _is_too_easy(problem, criterion, data):
        flags.append("criterion-too-easy")
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
        defaults=_settings(optimizer),
        criterion=criterion,
        first_loss=first_loss,
        trace=trace,
        reproducible=not {"not-reproducible", "shared-state"} & set(flags),
        seconds_per_step=seconds_per_step(problem, criterion, device),
        flags=tuple(flags),
    )


def _remembers(problem: Problem, model: torch.nn.Module, batch: Batch) -> list[str]:
    """Flags of a loss that changes as it is called, and of code that changes variables which all lanes share."""
    with unmoved(*problem.judges) as judges:
        everything = Kept([*problem.judges, model])
        call("the loss", loss_and_accuracy, problem, model, batch)
        shared = any(not place.ours and not place.grown for place in everything.changes())
        moved = any(place.ours for place in judges.changes())
    return ["loss-changes"] * moved + ["shared-state"] * shared


def _of_loop(problem: Problem) -> Preflight:
    criterion = _criterion(problem, None, None)
    (trace, asked), (again, _) = (_loop_trace(problem, criterion) for _ in range(2))
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
        squeezes=asked or (problem.schedule is not None and problem.policy == Constant()),
    )


def _criterion(problem: Problem, uninformed: float | None, first_loss: float | None) -> Criterion:
    reference = first_loss if uninformed is None else uninformed
    by_fraction = problem.accuracy_threshold is None and problem.loss_threshold is None
    if by_fraction and reference is not None and reference <= 0:
        raise ProblemError(
            f"the uninformed loss is {reference:.4g}; expected a positive one for the default criterion: pass loss_threshold"
        )
    return Criterion(accuracy=problem.accuracy_threshold, loss=problem.loss_threshold, uninformed=uninformed)


@dataclass(frozen=True)
class _Data:
    """What the first training batches hold, for an untrained model.

    Args:
        outputs: of the model on the first one; None under `loss_fn`, which hides them.
        targets: of all of them, where they are tensors.
        start_losses: of the model, on some.
    """

    outputs: Any
    targets: tuple[torch.Tensor, ...]
    start_losses: tuple[float, ...]


def _look_at_data(problem: Problem, model: torch.nn.Module, device: str) -> _Data:
    """One pass over the first training batches; only their targets are kept."""
    assert problem.batches is not None
    spare = problem.but(loss=spare_loss(problem.loss), loss_fn=spare_loss(problem.loss_fn))
    outputs: list[Any] = []
    targets: list[Any] = []
    losses: list[float] = []
    epoch = problem.batches.epoch(derive_seed(problem.seed, "labels"), 0)
    with torch.no_grad(), unchanged_buffers(model):
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
    return _Data(outputs[0] if outputs else None, tensors if len(tensors) == len(targets) else (), finite)


def _outputs_and_loss(problem: Problem, model: torch.nn.Module, batch: Batch) -> tuple[Any, float]:
    if problem.loss_fn is not None:
        return None, _number(call("the loss", problem.loss_fn, model, batch))
    inputs, targets = split(batch)
    assert problem.loss is not None
    outputs = call("the model", model, inputs)
    return outputs, _number(call("the loss", problem.loss, outputs, targets))


def _number(loss: Any) -> float:
    check_scalar(loss)
    return float(loss)


def _uninformed(problem: Problem, outputs: Any, targets: tuple[torch.Tensor, ...]) -> float | None:
    """The uninformed loss of training batches; None where there are no outputs that could be replaced."""
    if problem.loss is None or not targets or not isinstance(outputs, torch.Tensor):
        return None
    return uninformed_loss(problem.loss, outputs.detach(), targets)


def _is_too_easy(problem: Problem, criterion: Criterion, data: _Data) -> bool:
    """Whether the bound lies clearly above where networks start: they meet it untrained."""
    if criterion.accuracy is not None or len(data.start_losses) < 2:
        return False
    start = fmean(data.start_losses)
    least = start + NOISE * stdev(data.start_losses) / math.sqrt(len(data.start_losses))
    if criterion.bound(start) <= least or criterion.uninformed is None or criterion.loss is not None:
        return criterion.bound(start) > least
    same = _uninformed(problem, data.outputs, data.targets[: len(data.start_losses)])  # a few batches may be easier than all
    return same is not None and criterion.fraction * same > least


def _check_labels(problem: Problem, model: torch.nn.Module, batch: Batch) -> None:
    """Under cross-entropy, integer labels must name a class the model has an output for."""
    if not _is_cross_entropy(problem.loss) or problem.batches is None:
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


def _trace(problem: Problem, criterion: Criterion, device: str, dtype: torch.dtype | None = None) -> tuple[float, ...]:
    """Losses of the first two steps of a fixed lane, then its loss on the validation data, where there are any."""
    lane = Lane(TRACE_LR, derive_seed(0, "trace"), 2, criterion, Until.END)
    outcome = LoopEngine(device, dtype).train_lane(problem, lane).require()
    valid = () if outcome.valid_loss is None else (outcome.valid_loss,)
    return (*(row.loss for row in outcome.trace), *valid)


def _loop_trace(problem: Problem, criterion: Criterion) -> tuple[tuple[float, ...], bool]:
    """The same of a user's own loop, and whether it asked for its length or its rate."""
    lane = Lane(TRACE_LR, derive_seed(0, "trace"), 2, criterion, Until.END)
    with steady_numerics():
        outcome, asked = follow(problem, lane)
    return tuple(row.loss for row in outcome.require().trace), asked


def _first_trace(problem: Problem, criterion: Criterion, device: str) -> tuple[torch.dtype | None, tuple[float, ...]]:
    """In float64, unless the model insists on its own type."""
    try:
        return torch.float64, _trace(problem, criterion, device, torch.float64)
    except ProblemError:
        return None, _trace(problem, criterion, device)


def seconds_per_step(problem: Problem, criterion: Criterion, device: str, steps: int = 8) -> float:
    """Wall time of one step of the reference loop: the total of a short lane, its set-up included."""
    lane = Lane(TRACE_LR, derive_seed(0, "timing"), steps, criterion)
    outcome = LoopEngine(device).train_lane(problem, lane).require()
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
    known = inputs[torch.isfinite(inputs)].double()
    mean, square = float(known.mean()), float(known.square().mean())
    flags = []
    if square > 0 and mean**2 > 0.25 * square:
        flags.append("inputs-not-centred")
    if not 0.05 <= square <= 20:
        flags.append("inputs-badly-scaled")
    return flags
