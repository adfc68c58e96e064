"""Before any lane: build the problem once, check it, and learn what the designs need to know about it."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from etastar.core.batch import Batch
from etastar.core.data import stream
from etastar.core.finite_loss import check_batch, check_data
from etastar.core.groups import Group, default_lr, in_words
from etastar.core.kept import Kept, undisturbed, unmoved
from etastar.core.lane import Criterion
from etastar.core.modes import stays_in_eval
from etastar.core.not_data import types_explained
from etastar.core.numerics import check_default_device, steady_numerics
from etastar.core.objective import known_accuracy, loss_and_accuracy
from etastar.core.optimizers import optimizer_name
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import Setup, check_fresh_storage, set_up, to
from etastar.engine.first_batches import are_unpaired, input_flags, is_too_easy, look_at_batches, uninformed_on
from etastar.engine.traces import TRACE_LR, Told, loop_trace, same, seconds_per_step, traced, traced_large
from etastar.errors import ProblemError, call
from etastar.policies.policy import is_steady

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
        large: whether every pass over a batch is dear, so that little was looked at: at most five passes.
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
    large: bool = False

    def said(self, lr: float) -> str:
        """A rate as sentences name it: the number, or the rates it gives the groups; see `in_words`."""
        return in_words(lr, self.groups, each=" + " in self.optimizer)


def preflight(problem: Problem, device: str = "cpu", told: Told = lambda seconds: None) -> Preflight:
    """Build and check `problem`; the caller's objects and random state are as before.

    Args:
        told: called once, as soon as a step has been timed, with its seconds.

    Raises:
        ProblemError: with the sentence that says what to change.
    """
    check_default_device()
    with undisturbed(problem):
        return _of_loop(problem, told) if problem.is_loop else _of_parts(problem, device, told)


def optimizer_settings(problem: Problem, device: str = "cpu") -> dict[str, Any]:
    """The settings of the problem's optimizer, its rate apart, of one that is built for it; none for a user's own loop.

    Raises:
        ProblemError: model, data or optimizer cannot be used.
    """
    if problem.is_loop:
        return {}
    with undisturbed(problem):
        check_fresh_storage(problem)
        seed = derive_seed(problem.seed, "preflight")
        sample = call("reading a training batch", next, stream(problem.parts.batches, seed))
        return _settings(set_up(problem, seed, device=device, example=sample).optimizer)


def _settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {k: v for k, v in optimizer.defaults.items() if k != "lr"}


def start_steps(problem: Problem) -> int:
    """The steps within which a lane must start to train: min(planned steps, 200)."""
    return min(problem.steps, START_STEPS)


def _of_parts(problem: Problem, device: str, told: Told) -> Preflight:
    check_fresh_storage(problem)
    seed = derive_seed(problem.seed, "preflight")
    with closing(stream(problem.parts.batches, seed)) as batches:
        sample = call("reading a training batch", next, batches)
    with steady_numerics():
        setup = set_up(problem, seed, device=device, example=sample)
        batch = to(sample, device)
        with types_explained(setup.model, batch):
            check_data(problem, setup, device)
            check_batch(problem, sample, "a training batch", device)
            with unmoved(*problem.judges):
                data = look_at_batches(problem, setup.model, device)
                known_accuracy(problem, data.outputs, *data.targets)
            with unmoved(*problem.judges):
                loss, accuracy = call("the loss", loss_and_accuracy, problem, setup.model, batch)
            remembers = [] if data.large else _remembers(problem, setup.model, batch)
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
            uninformed = uninformed_on(problem, data.outputs, data.targets)
        with unmoved(*problem.judges):
            unpaired = are_unpaired(problem, data.outputs, data.targets)
    criterion = _criterion(problem, uninformed, first_loss)
    trace, again, seconds = (traced_large if data.large else traced)(problem, criterion, device, told)
    flags = input_flags(sample) + remembers + ["targets-broadcast"] * unpaired
    if uninformed and first_loss > 3 * uninformed:
        flags.append("loss-starts-high")
    flags += schedule_flags(problem, setup)
    if _eps_is_zero(setup.optimizer):
        flags.append("eps-is-zero")
    if stays_in_eval(setup.model):
        flags.append("parts-in-eval")
    if is_too_easy(problem, criterion, data):
        flags.append("criterion-too-easy")
    if not same(trace[: len(again)], again):
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
        seconds_per_step=seconds,
        flags=tuple(flags),
        large=data.large,
    )


def _remembers(problem: Problem, model: torch.nn.Module, batch: Batch) -> list[str]:
    """Flags of a loss that changes as it is called, and of code that changes variables which all lanes share."""
    with unmoved(*problem.judges) as judges:
        everything = Kept([*problem.judges, model])
        call("the loss", loss_and_accuracy, problem, model, batch)
        shared = any(not place.ours and not place.grown for place in everything.changes())
        moved = any(place.ours for place in judges.changes())
    return ["loss-changes"] * moved + ["shared-state"] * shared


def _of_loop(problem: Problem, told: Told) -> Preflight:
    loop, criterion = problem.users_loop, _criterion(problem, None, None)
    (trace, asked), (again, _) = (loop_trace(problem, criterion) for _ in range(2))
    if not all(map(math.isfinite, trace)):
        raise ProblemError(f"your training loop reported losses {list(trace)} at lr={TRACE_LR}; expected finite numbers")
    reproducible = same(trace, again)
    told(seconds := seconds_per_step(problem, criterion, "cpu"))
    return Preflight(
        lr=loop.lr,
        optimizer=loop.optimizer,
        momentum=False,
        groups=(),
        parameters=0,
        shapes={},
        defaults={},
        criterion=criterion,
        first_loss=trace[0],
        trace=trace,
        reproducible=reproducible,
        seconds_per_step=seconds,
        flags=() if reproducible else ("not-reproducible",),
        squeezes=asked or (problem.schedule is not None and is_steady(problem.policy)),
    )


def _criterion(problem: Problem, uninformed: float | None, first_loss: float | None) -> Criterion:
    reference = first_loss if uninformed is None else uninformed
    by_fraction = problem.accuracy_threshold is None and problem.loss_threshold is None
    if by_fraction and reference is not None and reference <= 0:
        raise ProblemError(
            f"the uninformed loss is {reference:.4g}; expected a positive one for the default criterion: pass loss_threshold"
        )
    return Criterion(accuracy=problem.accuracy_threshold, loss=problem.loss_threshold, uninformed=uninformed)


def _eps_is_zero(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the `eps` of some parameters' denominators rounds to 0 in their own type."""
    sizes = [(group.get("eps"), p) for group in optimizer.param_groups for p in group["params"] if p.is_floating_point()]
    return any(isinstance(eps, float) and eps > 0 and float(torch.tensor(eps).to(p.dtype)) == 0 for eps, p in sizes)


def schedule_flags(problem: Problem, setup: Setup) -> list[str]:
    """What must be said of where the schedule came from."""
    if problem.followed.rates is not None:
        return ["schedule-from-optimizer"]
    left = any("initial_lr" in group for group in setup.optimizer.param_groups)
    return ["schedule-unknown"] if left and problem.schedule is None else []
