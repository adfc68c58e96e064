"""The schedule a problem's lanes follow: as named, or read off a scheduler on the user's own optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from etastar.core.optimizers import Attached, MadeOptimizer
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.core.setup import build, make_optimizer
from etastar.errors import ProblemError
from etastar.policies.named import policy_over
from etastar.policies.policy import Constant, Policy
from etastar.policies.rest import rest_of
from etastar.policies.torch_schedule import TorchSchedule, group_names, of_groups, other_settings, read_rates

if TYPE_CHECKING:
    from etastar.core.problem import Problem


@dataclass(frozen=True)
class Followed:
    """What lanes follow.

    Args:
        policy: the schedule over the problem's steps.
        lr, rates: where a scheduler came with the optimizer: the rate in use, and that of every group; else None.
    """

    policy: Policy
    lr: float | None = None
    rates: tuple[float, ...] | None = None


def schedule_of(problem: Problem) -> Followed:
    """What `problem.schedule` means for its optimizer; a scheduler is read off, nothing is trained.

    Raises:
        ProblemError: the schedule cannot be followed, or there are two.
    """
    whole = _whole_schedule(problem, problem.before + problem.steps)
    return replace(whole, policy=rest_of(whole.policy, problem.before, problem.steps))


def _whole_schedule(problem: Problem, steps: int) -> Followed:
    schedule = problem.schedule
    if problem.is_loop or isinstance(schedule, (str, Policy)) or not (schedule is None or callable(schedule)):
        return Followed(policy_over(schedule, steps))
    with isolated_randomness():
        model, made = build(problem, derive_seed(problem.seed, "schedule"))
        if schedule is None:
            return _attached(problem, made, steps) if made.schedulers else Followed(Constant())
        make = lambda scale: _scaled(make_optimizer(problem, model).optimizer, scale)
        return Followed(policy_over(schedule, steps, make))


def _scaled(optimizer: torch.optim.Optimizer, scale: float) -> torch.optim.Optimizer:
    """The optimizer with all its rates times `scale`."""
    for settings in (optimizer.defaults, *optimizer.param_groups):
        for name in ("lr", "initial_lr"):
            if name in settings:
                settings[name] = settings[name] * scale
    return optimizer


def _attached(problem: Problem, made: MadeOptimizer, steps: int) -> Followed:
    """The rates that the schedulers beside the optimizer set, group by group: all of them scale with the lane's rate.

    One that is a policy of ours says so; others are read off.
    """
    optimizer = made.optimizer
    initial = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    if len(made.schedulers) == 1 and (policy := getattr(made.schedulers[0].scheduler, "policy", None)) is not None:
        return Followed(policy_over(policy, steps), float(optimizer.defaults["lr"]), tuple(initial))
    stepped = [(a.scheduler, _calls_before(problem, a)) for a in made.schedulers]
    table = read_rates(optimizer, stepped, steps, other_settings(optimizer))
    rates = _own_peaks(made) or initial
    found: list[tuple[str, TorchSchedule]] = []
    for name, rate, column in zip(group_names(optimizer), rates, zip(*table, strict=True), strict=True):
        if rate > 0:
            found.append((name, TorchSchedule(tuple(value / rate for value in column))))
        elif any(column):
            raise ProblemError(f"the scheduler gives {name}, a group of rate 0, a rate; expected a share of its own")
    return Followed(of_groups(found), rate_in_use(made), tuple(rates))


def rate_in_use(made: MadeOptimizer) -> float:
    """The optimizer's default rate; under schedulers that set rates of their own (OneCycleLR, CyclicLR) the largest they
    reach, unless some group reaches the default.
    """
    peaks, lr = _own_peaks(made), float(made.optimizer.defaults["lr"])
    return lr if not peaks or any(math.isclose(peak, lr) for peak in peaks) else max(peaks)


def _own_peaks(made: MadeOptimizer) -> list[float]:
    """The largest rate of every group where the scheduler, and not the optimizer, says it; else empty."""
    known: dict[int, float] = {}
    for attached in made.schedulers:
        groups = attached.scheduler.optimizer.param_groups
        own = getattr(attached.scheduler, "max_lrs", None) or [group.get("max_lr") for group in groups]
        known |= {id(group): float(peak) for group, peak in zip(groups, own, strict=True) if peak is not None}
    groups = made.optimizer.param_groups
    return [known.get(id(group), float(group["lr"])) for group in groups] if known else []


def _calls_before(problem: Problem, attached: Attached) -> Callable[[int], int]:
    """Optimizer step -> how often the scheduler has been stepped before it."""
    if attached.interval == "step":
        return lambda t: t // attached.frequency
    per_epoch = problem.parts.batches.per_epoch
    if not per_epoch:
        raise ProblemError(
            "the scheduler is stepped once an epoch, but the training data does not say how long one is; expected data of "
            "known length, or 'interval': 'step' beside the scheduler"
        )
    return lambda t: t * problem.accumulate // (per_epoch * attached.frequency)
