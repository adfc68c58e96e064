"""What a LightningModule would train, as a `Problem`."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from etastar.adapters.micro_batches import MicroBatch, MicroBatches, taken_apart
from etastar.arguments import shown
from etastar.core.problem import Problem
from etastar.errors import ProblemError

UNCALLED = ("optimizer_step", "lr_scheduler_step", "configure_gradient_clipping", "backward")
"""Hooks of a module that change what a step does, and that lanes do not call."""
FROM_LOOP = "expected none of its own: go through Problem.from_loop, with a Trainer in the loop"


def problem_from(
    module: Any, data: Any = None, steps: int | None = None, *, trainer: Any = None, name: str | None = None, seed: int = 0
) -> Problem:
    """What `module` would train, as a `Problem`; it is left as it is, and lanes train copies.

    Lanes have its `training_step`, `configure_optimizers` (schedulers included) and batch hooks; what it logs is dropped.
    They are scored by the training loss on the validation data, where there is some.

    Args:
        data: a LightningDataModule, a training loader, or (training loader, validation loader or None); None: the module's.
        steps: optimizer steps; None: the trainer's.
        trainer: whose accumulation, clipping, precision and steps count.
        name, seed: see `Problem`.

    Raises:
        ProblemError: it is no LightningModule, has no `configure_optimizers`, or trains in a way that lanes cannot.
    """
    _check(module)
    train, valid = _loaders(module, data)
    accumulate, clip = _of_trainer(trainer)
    parts = ModuleParts(
        net=_apart(module),
        steps=_steps(trainer, train) if steps is None else steps,
        transfer=_apart(data) if _overrides(data, "on_before_batch_transfer", "on_after_batch_transfer") else None,
        precision=getattr(trainer, "precision_plugin", None),
    )
    return Problem(
        model=parts.model,
        optimizer=parts.optimizer,
        loss_fn=parts.loss,
        train=train if accumulate == 1 else MicroBatches(taken_apart(train), accumulate, as_they_are).loader(),
        valid=valid,
        steps=parts.steps,
        clip_grad_norm=clip,
        accumulate=accumulate,
        name=name,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class ModuleParts:
    """The factories of a problem.

    Args:
        net: the module apart from its Trainer, of which models are copies.
        steps: the horizon.
        transfer: the data module, where it changes batches.
        precision: the Trainer's plugin.
    """

    net: nn.Module
    steps: int
    transfer: Any
    precision: Any

    def model(self) -> nn.Module:
        """A copy."""
        return copy.deepcopy(self.net)

    def optimizer(self, model: Any) -> Any:
        """What the module configures; meanwhile it may ask its trainer for the number of steps."""
        model._trainer = SimpleNamespace(estimated_stepping_batches=self.steps, max_steps=self.steps)
        try:
            return model.configure_optimizers()
        finally:
            model._trainer = None

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        """The loss of `training_step`."""
        weight = 1.0
        if isinstance(batch, MicroBatch):
            batch, weight = batch.inputs, batch.weight
        hooks = model if self.transfer is None else self.transfer
        batch = hooks.on_after_batch_transfer(hooks.on_before_batch_transfer(batch, 0), 0)
        batch = batch if self.precision is None else self.precision.convert_input(batch)
        takes_index = len(inspect.signature(model.training_step).parameters) > 1
        with nullcontext() if self.precision is None else self.precision.train_step_context():
            said = model.training_step(batch, 0) if takes_index else model.training_step(batch)
        loss = said.get("loss") if isinstance(said, Mapping) else said
        if loss is None:
            raise ProblemError("training_step returned no loss; expected one for every batch")
        return loss if weight == 1.0 else loss * weight


def as_they_are(batches: list[Any]) -> tuple[None, float]:
    """Lightning divides the loss of every micro-batch by their full number, also in an epoch's last step."""
    return None, 1.0


def unlogged(*args: Any, **kwargs: Any) -> None:
    """What a lane's `log` does."""


def _apart(owner: Any) -> Any:
    """A copy without its Trainer, and without its log."""
    trainers = [vars(owner).get(name) for name in ("_trainer", "trainer", "_fabric")]
    own = copy.deepcopy(owner, {id(trainer): None for trainer in trainers if trainer is not None})
    own.log = own.log_dict = unlogged
    return own


def _check(module: Any) -> None:
    if not (isinstance(module, nn.Module) and hasattr(module, "training_step") and hasattr(module, "configure_optimizers")):
        raise ProblemError(f"got {shown(module)}; expected a LightningModule")
    if not _overrides(module, "configure_optimizers"):
        raise ProblemError(
            f"{type(module).__name__} has no configure_optimizers; expected one that returns an optimizer, e.g. "
            "torch.optim.Adam(self.parameters(), lr=self.lr)"
        )
    if not module.automatic_optimization:
        raise ProblemError(f"{type(module).__name__} steps its optimizers by hand (automatic_optimization); {FROM_LOOP}")
    if own := [hook for hook in UNCALLED if _overrides(module, hook)]:
        raise ProblemError(f"{type(module).__name__} has {own[0]}, which lanes do not call; {FROM_LOOP}")


def _overrides(owner: Any, *hooks: str) -> bool:
    """Whether the user wrote one of these hooks: it is not Lightning's own."""
    of = lambda hook: getattr(getattr(type(owner), hook, None), "__module__", "lightning.")
    return any(not of(hook).startswith(("lightning.", "pytorch_lightning.")) for hook in hooks)


def _loaders(module: Any, data: Any) -> tuple[Any, Any]:
    """(training loader, validation loader or None)."""
    if hasattr(data, "train_dataloader") and hasattr(data, "setup"):
        data.prepare_data()
        data.setup("fit")
    owner = module if data is None else data
    if hasattr(owner, "train_dataloader"):
        if not _overrides(owner, "train_dataloader"):
            raise ProblemError(
                f"{type(owner).__name__} has no train_dataloader; expected problem_from(module, loader, steps)"
            )
        data = owner.train_dataloader(), owner.val_dataloader() if _overrides(owner, "val_dataloader") else None
    train, valid = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if isinstance(valid, (list, tuple)):
        valid = valid[0] if valid else None
    if not isinstance(train, DataLoader):
        raise ProblemError(f"the training data is {shown(train)}; expected one DataLoader")
    return train, valid


def _of_trainer(trainer: Any) -> tuple[int, float | None]:
    """(micro-batches of a step, maximum norm of the gradient)."""
    if trainer is None:
        return 1, None
    if trainer.gradient_clip_val and trainer.gradient_clip_algorithm not in (None, "norm"):
        raise ProblemError("the Trainer clips gradients by value; expected gradient_clip_algorithm='norm'")
    return trainer.accumulate_grad_batches * trainer.world_size, trainer.gradient_clip_val or None


def _steps(trainer: Any, train: DataLoader[Any]) -> int:
    """Optimizer steps of the Trainer."""
    limits = [] if trainer is None or trainer.max_steps == -1 else [trainer.max_steps]
    if trainer is not None and trainer.max_epochs not in (None, -1):
        batches, share = len(train), trainer.limit_train_batches
        batches = min(share, batches) if isinstance(share, int) else int(share * batches)
        limits.append(math.ceil(batches / trainer.accumulate_grad_batches) * trainer.max_epochs)
    if not limits:
        raise ProblemError("steps is missing; expected problem_from(module, data, steps), or trainer=... with an end")
    return min(limits)
