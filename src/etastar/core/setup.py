"""Turn a `Problem` and a seed into a model and an optimizer, checked; the way every engine starts a lane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.arguments import LARGEST_RATE, SMALLEST_RATE
from etastar.core.data import Batch, map_tensors
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import EtastarError, ProblemError, in_one_line


@dataclass(frozen=True)
class Group:
    """One parameter group: its name, its rate as a multiple of the optimizer's default rate (0 = frozen), its size."""

    name: str
    multiplier: float
    parameters: int


@dataclass(frozen=True)
class Setup:
    """A model and its optimizer at the start of training."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    groups: tuple[Group, ...]

    def set_lr(self, lr: float) -> None:
        """Set the rate of every group to `lr` x its multiplier."""
        for group, settings in zip(self.groups, self.optimizer.param_groups, strict=True):
            if isinstance(settings["lr"], torch.Tensor):
                settings["lr"].fill_(lr * group.multiplier)
            else:
                settings["lr"] = lr * group.multiplier

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
        if name in ("lr", "params") or any(name not in group for group in groups):
            known = sorted(set(groups[0]) - {"params", "lr", "name"})
            raise ProblemError(
                f"{type(self.optimizer).__name__} has no setting {name!r} to change; it has {', '.join(known)}"
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
    assert problem.model is not None and problem.optimizer is not None
    seed_everything(derive_seed(seed, "init"))
    model = call("model()", problem.model)
    if not isinstance(model, nn.Module):
        raise ProblemError(f"model() returned a {type(model).__name__}; expected an nn.Module")
    if any(t.is_meta for t in model.parameters()):
        raise ProblemError(
            "model() returned parameters on the meta device, which hold no numbers; expected weights on the CPU: build it "
            "outside of torch.device('meta')"
        )
    if example is not None and any(nn.parameter.is_lazy(p) for p in model.parameters()):
        with torch.no_grad():
            model(example[0] if isinstance(example, (tuple, list)) else example)
    call("model.to(device)", lambda: model.to(device=device, dtype=dtype).train())
    optimizer = call("optimizer(model)", problem.optimizer, model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise ProblemError(f"optimizer(model) returned a {type(optimizer).__name__}; expected a torch.optim.Optimizer")
    return Setup(model, optimizer, _groups(model, optimizer))


def _groups(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Group, ...]:
    default = optimizer.defaults.get("lr")
    if default is not None and not SMALLEST_RATE <= float(default) <= LARGEST_RATE and float(default) > 0:
        raise ProblemError(
            f"the optimizer's default lr is {float(default):g}; expected a number from {SMALLEST_RATE:g} to {LARGEST_RATE:g}"
        )
    if default is None or not float(default) > 0:
        raise ProblemError(
            f"the optimizer's default lr is {default!r}; expected a number > 0: pass lr=... to the optimizer itself, "
            "groups may differ from it"
        )
    own = {id(p) for p in model.parameters()}
    groups: list[Group] = []
    trainable = 0
    for index, settings in enumerate(optimizer.param_groups):
        if any(id(p) not in own for p in settings["params"]):
            raise ProblemError(
                "the optimizer holds parameters that are not the new model's; build it from the model it is given: "
                "optimizer=lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)"
            )
        if unknown := [key for key, x in settings.items() if isinstance(x, float) and x != x and key != "lr"]:
            raise ProblemError(f"the optimizer's {unknown[0]} is nan; expected a number: set it")
        lr = float(settings["lr"])
        if not lr >= 0:
            raise ProblemError(f"parameter group {index} has lr {lr}; expected a number >= 0")
        size = sum(p.numel() for p in settings["params"])
        trainable += sum(p.numel() for p in settings["params"] if p.requires_grad and lr > 0)
        groups.append(Group(str(settings.get("name", f"group_{index}")), lr / float(default), size))
    if trainable == 0:
        raise ProblemError(
            "the optimizer has no trainable parameter (all frozen: requires_grad=False or lr=0); unfreeze at least one"
        )
    return tuple(groups)


def default_lr(optimizer: torch.optim.Optimizer) -> float:
    """The rate in use today."""
    return float(optimizer.defaults["lr"])


def check_fresh_storage(problem: Problem) -> None:
    """Raise `ProblemError` if two calls of the model factory share memory: lanes would train each other's weights."""
    assert problem.model is not None
    first, second = call("model()", problem.model), call("model()", problem.model)
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


def call(what: str, fn: Any, *args: Any) -> Any:
    """Call the user's code; its exceptions come back as one sentence, with the original as the cause."""
    try:
        return fn(*args)
    except EtastarError:
        raise
    except (Exception, SystemExit) as error:
        raise ProblemError(f"{what} raised {in_one_line(error)}") from error


def to(batch: Batch, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
    """The batch on `device`; floating-point tensors in `dtype` where it is given."""
    return map_tensors(
        lambda t: t.to(device=device, dtype=dtype if dtype is not None and t.is_floating_point() else None), batch
    )
