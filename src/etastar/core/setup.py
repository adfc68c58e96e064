"""Turn a `Problem` and a seed into a model and an optimizer, checked; the way every engine starts a lane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from etastar.arguments import shown
from etastar.core.batch import Batch, map_tensors
from etastar.core.data import stream
from etastar.core.groups import PASS_A_RATE, Group, checked_groups
from etastar.core.modes import start_training
from etastar.core.objective import split
from etastar.core.optimizers import MadeOptimizer, detach_scheduler, made_from, optimizer_name
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import ProblemError, call
from etastar.policies.compose import rate_of

if TYPE_CHECKING:
    from etastar.core.problem import Problem


@dataclass(frozen=True)
class Setup:
    """A model and its optimizer, at the start of training or in the midst of it, and the problem they train on.

    Args:
        groups: the optimizer's.
        order: parameters in the order of the groups as they were made, where groups were cut since: sums over all of them
            (norms) are the same then, bit by bit.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    groups: tuple[Group, ...]
    order: tuple[torch.Tensor, ...] = ()
    problem: Problem | None = None

    def set_lr(self, lr: float) -> None:
        """Set the rate of every group to `lr` x its multiplier."""
        for group, settings in self._own_groups():
            _set_rate(settings, lr * group.multiplier)

    def set_rates(self, rates: float | Mapping[str, float]) -> float:
        """Set the rate of every group to that of its label x its multiplier; returns the first group's, before that."""
        if not isinstance(rates, Mapping):
            self.set_lr(rates)
            return rates
        own = [rate_of(rates, group.label) for group in self.groups]
        for lr, (group, settings) in zip(own, self._own_groups(), strict=True):
            _set_rate(settings, lr * group.multiplier)
        return own[0]

    def _own_groups(self) -> list[tuple[Group, dict[str, Any]]]:
        """Every group beside its settings.

        Raises:
            ProblemError: the optimizer was given groups since.
        """
        now = self.optimizer.param_groups
        if len(now) != len(self.groups):
            raise ProblemError(
                f"the optimizer has {len(now)} parameter groups, and had {len(self.groups)} when its rates were taken over; "
                "add all groups before: parameters that are frozen (requires_grad=False) wait in them"
            )
        return list(zip(self.groups, now, strict=True))

    def parameters(self) -> list[torch.Tensor]:
        """The parameters that the optimizer moves, in the order of its groups as they were made."""
        own = (p for group in self.optimizer.param_groups for p in group["params"])
        return [p for p in self.order or own if p.requires_grad]

    def change(self, changes: Iterable[tuple[str, Any]]) -> None:
        """Give the optimizer other settings; call before its first step. See `changed`."""
        for name, value in changes:
            for group, own in zip(self.optimizer.param_groups, self.changed(name, value), strict=True):
                group[name] = own

    def changed(self, name: str, value: Any) -> list[Any]:
        """Setting `name` of every group when the optimizer's is to be `value`.

        A number is that of the groups where it is largest; the others keep their ratio to it (weight decay 0 stays 0).

        Raises:
            ProblemError: the optimizer has no such setting.
        """
        groups = self.optimizer.param_groups
        if name in ("lr", "params", "maximize") or any(name not in group for group in groups):
            known = sorted(set(groups[0]) - {"params", "lr", "name", "maximize"})
            raise ProblemError(
                f"{optimizer_name(self.optimizer)} has no setting {name!r} to change; it has {', '.join(known)}"
            )
        own = [group[name] for group in groups]
        if any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in (*own, value)):
            return [value] * len(groups)
        largest = max(own)
        return [value * (x / largest) if largest > 0 else value for x in own]


def set_up(
    problem: Problem,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    example: Batch = None,
) -> Setup:
    """Build model and optimizer from `seed`. The weights are drawn on the CPU, whatever the device.

    Call inside `isolated_randomness()`. `example` is a batch with which lazy modules are given their shapes.

    Raises:
        ProblemError: a factory fails or returns the wrong thing, or the optimizer does not train this model.
    """
    model, made = build(problem, seed, device=device, dtype=dtype, example=example)
    _settle(problem, made)
    if problem.start_from is not None:
        problem.start_from.give_moments(made.optimizer)
    return Setup(model, made.optimizer, checked_groups(model, made.optimizer), problem=problem)


def build(
    problem: Problem,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    example: Batch = None,
) -> tuple[nn.Module, MadeOptimizer]:
    """What the user's factories make, as it is; see `set_up`."""
    parts = problem.parts
    seed_everything(derive_seed(seed, "init"))
    model = call("model()", parts.model)
    if not isinstance(model, nn.Module):
        raise ProblemError(f"model() returned a {type(model).__name__}; expected an nn.Module")
    if any(t.is_meta for t in model.parameters()):
        raise ProblemError(
            "model() returned parameters on the meta device, which hold no numbers; expected weights on the CPU: build it "
            "outside of torch.device('meta')"
        )
    if any(nn.parameter.is_lazy(p) for p in model.parameters()):
        if example is None:
            example = call("reading a training batch", next, stream(parts.batches, seed))
        _give_shapes(problem, model, example)
    call("model.to(device)", _move, model, device, dtype)
    if problem.start_from is not None:
        problem.start_from.give_weights(model)
    start_training(model)
    made = make_optimizer(problem, model)
    start_training(model, made.optimizer)
    return model, made


def make_optimizer(problem: Problem, model: nn.Module) -> MadeOptimizer:
    """The user's optimizer of `model`, and the schedulers that come with it.

    Raises:
        ProblemError: the factory fails or returns the wrong thing, or a scheduler that cannot be followed is attached to it.
    """
    factory = problem.parts.optimizer
    made = call("optimizer(model)", lambda: made_from(factory(model)))
    _check_rates(made)
    if made.scheduled and problem.schedule is not None:
        raise ProblemError(
            "schedule= was given, and optimizer(model) attaches a scheduler of its own; expected one of them: "
            "drop schedule=, or make the optimizer without its scheduler"
        )
    if made.scheduled and not made.schedulers:
        raise ProblemError(
            "optimizer(model) attaches a scheduler (it wraps the optimizer's step and scales its rates) but returns the "
            "optimizer alone; expected schedule=lambda optimizer: SCHEDULER(optimizer, ...) beside a plain optimizer, or "
            "both from optimizer(model): {'optimizer': ..., 'lr_scheduler': {'scheduler': ..., 'interval': 'step'}}"
        )
    return made


def _check_rates(made: MadeOptimizer) -> None:
    """Refuse an optimizer without a rate, or with one that is no number: rates are what is changed in it."""
    default = getattr(made.own[0], "defaults", {}).get("lr")
    if not _is_rate(default):
        raise ProblemError(f"the optimizer's default lr is {shown(default)}; {PASS_A_RATE}")
    groups = [group for own in made.own for group in own.param_groups]
    for index, group in enumerate(groups):
        if not _is_rate(group.get("lr")):
            raise ProblemError(f"parameter group {index} has lr {shown(group.get('lr'))}; expected a number >= 0")


def _is_rate(lr: object) -> bool:
    return isinstance(lr, (int, float)) or (isinstance(lr, torch.Tensor) and lr.numel() == 1)


def _settle(problem: Problem, made: MadeOptimizer) -> None:
    """Give every group its own rate, which schedulers (also those of a checkpoint) have scaled for their first step."""
    optimizer = made.optimizer
    rates = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    if made.schedulers:
        followed = problem.followed
        assert followed.rates is not None
        if len(followed.rates) != len(rates):
            raise ProblemError("optimizer(model) gives other parameter groups for other seeds; expected the same each time")
        rates, optimizer.defaults["lr"] = list(followed.rates), followed.lr
        for own in made.own:
            detach_scheduler(own)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        _set_rate(group, float(rate))


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _give_shapes(problem: Problem, model: nn.Module, example: Batch) -> None:
    """Let lazy modules see a batch, as training will: through the user's own loss_fn where there is one."""
    with torch.no_grad():
        if problem.loss_fn is not None:
            call("the loss", problem.loss_fn, model, example)
        else:
            call("the model", model, split(example)[0])
    lazy = [name for name, p in model.named_parameters() if nn.parameter.is_lazy(p)]
    if lazy:
        raise ProblemError(
            f"the lazy parameter {lazy[0]!r} has no shape after a forward pass; make the model in its factory with sizes, "
            "or call it there on one batch"
        )


def check_fresh_storage(problem: Problem) -> None:
    """Raise `ProblemError` if two calls of the model factory share memory: lanes would train each other's weights."""
    model = problem.parts.model
    first, second = call("model()", model), call("model()", model)
    if not (isinstance(first, nn.Module) and isinstance(second, nn.Module)):
        return  # `set_up` says so
    places = {_storage(t): name for name, t in _named_tensors(first)}
    for name, tensor in _named_tensors(second):
        place = _storage(tensor)
        if place is not None and place in places:
            raise ProblemError(
                f"model() returned modules that share storage ({name!r} is the same memory twice); expected a new module "
                "each time, e.g. model=lambda: copy.deepcopy(net)"
            )


def _named_tensors(model: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _storage(tensor: torch.Tensor) -> int | None:
    if nn.parameter.is_lazy(tensor) or tensor.numel() == 0 or tensor.is_meta:
        return None
    return tensor.untyped_storage().data_ptr()


def to(batch: Batch, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
    """The batch on `device`; floating-point tensors in `dtype` where it is given."""
    return map_tensors(lambda t: _as(t, device, dtype), batch)


def _as(tensor: torch.Tensor, device: torch.device | str, dtype: torch.dtype | None) -> torch.Tensor:
    """On `device`; real numbers in `dtype`, complex ones in that of such parts, others in their own."""
    if dtype is not None and tensor.is_complex():
        return tensor.to(device=device, dtype=dtype.to_complex())
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


def _move(model: nn.Module, device: torch.device | str, dtype: torch.dtype | None) -> None:
    """As `model.to`, which would make complex parameters real."""
    if any(t.is_complex() for _, t in _named_tensors(model)):
        model._apply(lambda t: _as(t, device, dtype))
    else:
        model.to(device=device, dtype=dtype)
