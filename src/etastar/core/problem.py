"""`Problem`: everything one training needs except the learning rate. Immutable; building it trains nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import nn

from etastar import arguments
from etastar.core.batch import Batch
from etastar.core.beginning import Beginning
from etastar.core.data import Batches
from etastar.core.data_forms import make_batches
from etastar.core.parts import Loop, Parts
from etastar.core.problem_checks import check_numbers, check_parts, check_watch
from etastar.core.schedule_of import Followed, schedule_of
from etastar.errors import ProblemError
from etastar.policies.policy import Policy, is_steady

VALID_BATCH = 256
"""Samples per batch of data that no lane trains on and that is no DataLoader."""


class Report(Protocol):
    """What a user's own training loop calls once per optimizer step; the return value says whether to go on.

    A loop with a schedule makes it `report.steps` long, or takes the rate of every step from `report.lr`: lanes are shorter
    than the training that is planned, and run the whole of the schedule in fewer steps.
    """

    @property
    def steps(self) -> int:
        """Optimizer steps of this lane."""
        ...

    @property
    def lr(self) -> float:
        """The rate of a step, by the problem's `schedule` over the lane's steps; the same until the next report.

        Of the coming step, decided by the reports until then; but where the lane's first look at it comes after a report
        (between backward and update), of the step just reported, decided by that report, too.
        """
        ...

    def __call__(self, loss: Any, accuracy: Any = None, grad_norm: Any = None, lr: Any = None) -> bool:
        """Report the batch's loss (and accuracy) measured BEFORE its update."""
        ...

    def valid(self, loss: Any, accuracy: Any = None) -> None:
        """Report the loss (and accuracy) on validation data; the last one of a lane is what it is judged by."""
        ...


SPOKEN_FOR = {"model", "loss", "loss_fn", "metric_fn", "train"}
"""Arguments that `asked` depends on."""
UserLoop = Callable[[float, int, Report], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A training problem, as a PyTorch user already has it.

    Args:
        model: () -> nn.Module, freshly initialised. Equal weights every time are fine (fine-tuning); modules that share
            storage are an error.
        optimizer: (model) -> torch.optim.Optimizer. Its `defaults["lr"]` is the rate in use today; every group keeps its
            ratio to it (0 = frozen). Also a list of optimizers, which move together (the first's rate is the unit), and an
            optimizer with its scheduler as Lightning's `configure_optimizers` returns them: then that is the schedule.
        loss: (outputs, targets) -> scalar, for batches (inputs, targets).
        loss_fn: (model, batch) -> scalar, for any batch; instead of `loss`.
        metric_fn: (model, batch) -> accuracy in [0, 1], beside `loss_fn`.
        train, valid: tensors (also nested), a Dataset, or a DataLoader (which keeps its own batch size and order).
        watch: data like `valid` that only policies see, as the signal "valid_loss": they never see `valid`, which scores.
        batch_size: samples per batch; default min(64, samples).
        steps: optimizer steps the user plans to train (the horizon).
        accuracy_threshold: in (0, 1]; a lane has started to train once it gets there.
        loss_threshold: in the loss's unit; at most one of the two. With neither: 0.8 x the uninformed loss.
        schedule: a name ("constant", "linear", "cosine", "warmup-cosine", "wsd", also "wsd:decay=0.5", and what other
            distributions offer: `etastar.policies.third_party`), several ("constant@0.75>linear"), a `Policy`, or a
            function (optimizer) -> torch LRScheduler, stepped after every optimizer step. Its peak is the rate we report.
        clip_grad_norm: maximum global gradient norm.
        accumulate: batches per optimizer step.
        name: stands for the code of the factories in the store's fingerprint; change it when they change.
        label: what answers call it; no part of the fingerprint.
        seed: of the whole measurement.
        start_from: where lanes begin, instead of at fresh weights: `schedule` is over its step and `steps` together, and
            the data go on there; seeds differ in the order of the data.

    Raises:
        ProblemError: an argument is missing, out of range or contradicts another; or the data cannot be used.
    """

    model: Callable[[], nn.Module] | None = None
    optimizer: Callable[[nn.Module], Any] | None = None
    loss: Callable[[Any, Any], torch.Tensor] | None = None
    loss_fn: Callable[[nn.Module, Batch], torch.Tensor] | None = None
    metric_fn: Callable[[nn.Module, Batch], Any] | None = None
    train: Any = None
    valid: Any = None
    watch: Any = None
    batch_size: int | None = None
    steps: int
    accuracy_threshold: float | None = None
    loss_threshold: float | None = None
    schedule: Policy | str | Callable[[torch.optim.Optimizer], Any] | None = None
    clip_grad_norm: float | None = None
    accumulate: int = 1
    name: str | None = None
    label: str | None = None
    seed: int = 0
    start_from: Beginning | None = None
    loop: UserLoop | None = None
    loop_lr: float | None = None
    loop_optimizer: str | None = None
    batches: Batches | None = field(init=False, default=None, repr=False)
    valid_batches: Batches | None = field(init=False, default=None, repr=False)
    watch_batches: Batches | None = field(init=False, default=None, repr=False)
    asked: dict[str, Any] = field(init=False, default_factory=dict, repr=False)
    """What its loss has said of itself, by name: asked once, before lanes are trained."""
    _followed: tuple[Any, ...] | None = field(default=None, repr=False)
    """(what it was read from, `followed`): carried along by `but`, since reading a scheduler takes a model."""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.loop is not None:
            if self.start_from is not None:
                raise ProblemError(
                    "a training loop of your own cannot start from a checkpoint; expected model, optimizer, loss and data"
                )
            _ = self.followed
            return
        check_parts(self)
        object.__setattr__(self, "batches", make_batches(self.train, self.batch_size))
        for name in ("valid", "watch"):
            if (data := getattr(self, name)) is not None:
                size = None if isinstance(data, torch.utils.data.DataLoader) else VALID_BATCH
                object.__setattr__(self, f"{name}_batches", make_batches(data, size, argument=name, drop_last=False))
        check_watch(self)
        if self.schedule is not None:
            _ = self.followed  # what cannot be followed is said now

    @classmethod
    def from_loop(
        cls,
        train: UserLoop,
        *,
        steps: int,
        lr: float | None = None,
        optimizer: str | None = None,
        accuracy_threshold: float | None = None,
        loss_threshold: float | None = None,
        schedule: Policy | str | Callable[[torch.optim.Optimizer], Any] | None = None,
        name: str | None = None,
        seed: int = 0,
    ) -> Problem:
        """A problem around the user's own training loop: Lightning, Transformers, anything.

        Args:
            train: `train(lr, seed, report)` trains from a fresh initialisation with rate `lr`, drawing everything random
                from `seed` (below 2^32), and calls `report(loss=..., accuracy=...)` once per optimizer step with the values
                measured before the update. When `report` returns False it should return. `report.steps` is the length of
                this lane and `report.lr` the rate of a step (see `Report`); `report.valid(loss=...)` says the validation
                loss. An exception it raises makes a failed lane, unless the lowest rate raises, too.
            steps: optimizer steps the user plans to train.
            lr: the rate in use today, to be judged; optional.
            optimizer: the optimizer's class name, e.g. "AdamW"; chooses the rule for the recommended rate.
            schedule: what `report.lr` follows; None: the loop's own, "constant": the loop has none.
            accuracy_threshold, loss_threshold, name, seed: as for `Problem`.
        """
        if not callable(train):
            raise ProblemError(f"train is a {type(train).__name__}; expected a function train(lr, seed, report)")
        arguments.takes("train", train, ("lr", "seed", "report"))
        return cls(
            loop=train,
            steps=steps,
            loop_lr=lr,
            loop_optimizer=optimizer,
            accuracy_threshold=accuracy_threshold,
            loss_threshold=loss_threshold,
            schedule=schedule,
            name=name,
            seed=seed,
        )

    @property
    def is_loop(self) -> bool:
        """Whether it is a training loop of the user's own; else it is made of parts."""
        return self.loop is not None

    @cached_property
    def parts(self) -> Parts:
        """What it is made of.

        Raises:
            ProblemError: it is a training loop of the user's own.
        """
        if self.model is None or self.optimizer is None or self.batches is None:
            raise ProblemError("got a training loop of your own; expected a Problem of model, optimizer, loss and data")
        return Parts(self.model, self.optimizer, self.batches, self.loss)

    @property
    def users_loop(self) -> Loop:
        """The user's own training loop.

        Raises:
            ProblemError: it is made of parts.
        """
        if self.loop is None:
            raise ProblemError("got a Problem of parts; expected a training loop of your own (Problem.from_loop)")
        return Loop(self.loop, self.loop_lr, self.loop_optimizer or "")

    @property
    def followed(self) -> Followed:
        """What lanes follow: `schedule`, or the scheduler that comes with the optimizer; read off once.

        Raises:
            ProblemError: it cannot be followed.
        """
        own = (self.schedule, self.model, self.optimizer, self.steps)
        beside = (self.train, self.batch_size, self.accumulate)  # how long an epoch is
        read_from = (*own, *beside, self.start_from)
        if self._followed is None or any(a is not b for a, b in zip(self._followed[0], read_from, strict=True)):
            object.__setattr__(self, "_followed", (read_from, schedule_of(self)))
        assert self._followed is not None
        return self._followed[1]

    @property
    def policy(self) -> Policy:
        """The schedule over `steps`, as a `Policy`."""
        return self.followed.policy

    @property
    def before(self) -> int:
        """Optimizer steps before the first of a lane: those of `start_from`."""
        return self.start_from.step if self.start_from else 0

    @property
    def title(self) -> str:
        """What answers call it."""
        return self.label or self.name or "problem"

    @property
    def schedule_name(self) -> str:
        """What answers call its schedule: its name, "constant", or "own" for any other, and for a loop that names none."""
        if self.loop is not None and self.schedule is None:
            return "own"
        if isinstance(self.schedule, str):
            return self.schedule
        return "constant" if is_steady(self.policy) else "own"

    @property
    def judges(self) -> tuple[Any, ...]:
        """Loss and metric: what may remember things from call to call."""
        return self.loss, self.loss_fn, self.metric_fn

    def but(self, **changes: Any) -> Problem:
        """The same problem with some arguments changed."""
        changed = replace(self, **changes)
        if not changes.keys() & SPOKEN_FOR:
            changed.asked.update(self.asked)
        return changed
