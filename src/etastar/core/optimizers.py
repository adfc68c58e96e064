"""What an optimizer factory may return, as one optimizer and the schedulers that came with it.

An optimizer; several of them, moved together; (optimizer, scheduler); or what Lightning's `configure_optimizers` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from etastar.arguments import shown
from etastar.core.closures import demands_closure
from etastar.errors import ProblemError
from etastar.policies.torch_schedule import check_scheduler

FORMS = (
    "a torch.optim.Optimizer, a list of them, or {'optimizer': ..., 'lr_scheduler': {'scheduler': ..., 'interval': 'step'}}"
)


@dataclass(frozen=True)
class Attached:
    """A scheduler that came with an optimizer, stepped every `frequency` optimizer steps ("step") or epochs ("epoch")."""

    scheduler: LRScheduler
    interval: str = "step"
    frequency: int = 1


@dataclass(frozen=True)
class MadeOptimizer:
    """One optimizer (see `SeveralOptimizers`) and the schedulers that were returned beside it."""

    optimizer: torch.optim.Optimizer
    schedulers: tuple[Attached, ...] = ()

    @property
    def own(self) -> tuple[torch.optim.Optimizer, ...]:
        """The optimizers themselves."""
        return self.optimizer.own if isinstance(self.optimizer, SeveralOptimizers) else (self.optimizer,)

    @property
    def scheduled(self) -> bool:
        """Whether some scheduler of torch's holds one of them, returned or not: it has wrapped its `step`."""
        return bool(self.schedulers) or any(hasattr(o.step, "_wrapped_by_lr_sched") for o in self.own)


class SeveralOptimizers(torch.optim.Optimizer):
    """Several optimizers that step together. Its groups are theirs, its defaults the first's: the unit of all rates.

    >>> parts = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> sgd, adam = torch.optim.SGD(parts[0].parameters(), 0.1), torch.optim.AdamW(parts[1].parameters(), 0.001)
    >>> both = SeveralOptimizers([sgd, adam])
    >>> [group["lr"] for group in both.param_groups], both.defaults["lr"]
    ([0.1, 0.001], 0.1)
    """

    def __init__(self, own: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for optimizer in own for group in optimizer.param_groups], {})
        self.own = tuple(own)
        self.param_groups = [group for optimizer in own for group in optimizer.param_groups]
        self.defaults = dict(own[0].defaults)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """All of theirs."""
        for optimizer in self.own:
            optimizer.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step of each, in order; a closure is evaluated once, before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.own:
            optimizer.step()
        return loss

    def train(self) -> None:
        """Tell those that have modes (Schedule-Free) that training goes on."""
        self._tell("train")

    def eval(self) -> None:
        """Tell those that have modes (Schedule-Free) that the model is evaluated."""
        self._tell("eval")

    def _tell(self, mode: str) -> None:
        for optimizer in self.own:
            if callable(tell := getattr(optimizer, mode, None)):
                tell()

    def state_dict(self) -> dict[str, Any]:
        """Theirs, in order."""
        return {"own": [optimizer.state_dict() for optimizer in self.own]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each its own; their groups are new objects then."""
        for optimizer, state in zip(self.own, state_dict["own"], strict=True):
            optimizer.load_state_dict(state)
        self.param_groups = [group for optimizer in self.own for group in optimizer.param_groups]


def optimizer_name(optimizer: torch.optim.Optimizer) -> str:
    """Its class; of several, all their classes: "SGD + AdamW"."""
    own = optimizer.own if isinstance(optimizer, SeveralOptimizers) else (optimizer,)
    return " + ".join(type(o).__name__ for o in own)


def checked_optimizer(given: Any) -> torch.optim.Optimizer:
    """An optimizer, or what behaves as one.

    Raises:
        ProblemError: something else.
    """
    if not (hasattr(given, "param_groups") and hasattr(given, "defaults")):
        raise ProblemError(f"the optimizer is {shown(given)}; expected a torch.optim.Optimizer")
    return given


def made_from(result: Any) -> MadeOptimizer:
    """What `optimizer(model)` returned, in one form.

    Raises:
        ProblemError: it is none of the forms, or a scheduler cannot be followed.
    """
    if isinstance(result, torch.optim.Optimizer):
        return MadeOptimizer(result)
    if isinstance(result, Mapping) and "optimizer" in result:
        return _joined([result["optimizer"]], [result.get("lr_scheduler")], "epoch")
    if isinstance(result, (tuple, list)) and result:
        if all(isinstance(o, torch.optim.Optimizer) for o in result):
            return _joined(result, [], "step")
        if all(isinstance(o, Mapping) and "optimizer" in o for o in result):
            return _joined([o["optimizer"] for o in result], [o.get("lr_scheduler") for o in result], "epoch")
        if len(result) == 2 and isinstance(result[0], torch.optim.Optimizer):
            return _joined([result[0]], [result[1]], "step")
        if len(result) == 2 and all(isinstance(part, (tuple, list)) for part in result) and result[0]:
            return _joined(result[0], result[1], "epoch")
    raise ProblemError(f"optimizer(model) returned a {_kinds(result)}; expected {FORMS}")


def alone(result: Any) -> torch.optim.Optimizer:
    """The optimizer that `optimizer(model)` returned, where only one without a scheduler will do.

    Raises:
        ProblemError: there are several, or a scheduler is attached.
    """
    made = made_from(result)
    if made.scheduled or len(made.own) > 1:
        what = "several optimizers" if len(made.own) > 1 else "an optimizer with a scheduler"
        raise ProblemError(f"optimizer(model) returned {what}; expected one optimizer alone here, whose groups can be cut")
    return made.optimizer


def _joined(optimizers: Sequence[Any], schedulers: Sequence[Any], interval: str) -> MadeOptimizer:
    """`interval` is that of schedulers which do not say theirs: in Lightning's forms an epoch."""
    for optimizer in optimizers:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ProblemError(f"optimizer(model) returned a {type(optimizer).__name__} as an optimizer; expected {FORMS}")
    attached = tuple(_attached(given, interval, optimizers) for given in schedulers if given is not None)
    if len(optimizers) == 1:
        return MadeOptimizer(optimizers[0], attached)
    if closing := next(filter(demands_closure, optimizers), None):
        raise ProblemError(
            f"optimizer(model) returned {len(optimizers)} optimizers, one a {type(closing).__name__}, which evaluates the "
            "loss itself; expected optimizers that can step together on one gradient"
        )
    return MadeOptimizer(SeveralOptimizers(optimizers), attached)


def _attached(given: Any, interval: str, optimizers: Sequence[torch.optim.Optimizer]) -> Attached:
    settings = given if isinstance(given, Mapping) else {"scheduler": given}
    scheduler = settings.get("scheduler")
    interval, frequency = settings.get("interval", interval), settings.get("frequency", 1)
    check_scheduler(scheduler, "optimizer(model) returned a {} as a scheduler; expected a torch LRScheduler")
    if interval not in ("step", "epoch") or not isinstance(frequency, int) or frequency < 1:
        raise ProblemError(
            f"the scheduler's interval is {interval!r} and its frequency {frequency!r}; expected 'step' or 'epoch', and an "
            "integer >= 1"
        )
    if not any(getattr(scheduler, "optimizer", o) is o for o in optimizers):
        raise ProblemError("the scheduler belongs to another optimizer than was returned with it; expected one of its own")
    return Attached(scheduler, interval, frequency)  # type: ignore[arg-type]


def _kinds(result: Any) -> str:
    kind = type(result).__name__
    if isinstance(result, (tuple, list)) and result:
        return f"{kind} of {', '.join(dict.fromkeys(type(part).__name__ for part in result))}"
    return kind


def detach_scheduler(optimizer: torch.optim.Optimizer) -> None:
    """Take back what torch's schedulers do to an optimizer's `step`, which engines would otherwise not know again."""
    step = vars(optimizer).get("step")
    if step is not None and hasattr(step, "_wrapped_by_lr_sched"):
        del optimizer.step
        if step.__wrapped__ is not getattr(type(optimizer).step, "__func__", type(optimizer).step):
            optimizer.step = step.__wrapped__.__get__(optimizer)  # type: ignore[method-assign]
