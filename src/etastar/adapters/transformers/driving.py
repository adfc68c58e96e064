"""A policy that drives a Trainer, and a rate given to one."""

from __future__ import annotations

from typing import Any

import torch

from etastar.adapters.feeding import MeanLoss
from etastar.adapters.torch import PolicyLR
from etastar.adapters.transformers.from_trainer import bare, checked
from etastar.engine.signals import OF_GRADIENT, keys_of
from etastar.errors import ProblemError
from etastar.policies.named import parsed
from etastar.policies.policy import Policy
from etastar.verbs.answer import GivesRate


def drive(trainer: Any, policy: Any = None, lr: float | None = None) -> None:
    """Let `policy` set the rates of `trainer`: a fed `PolicyLR` as its scheduler, so that checkpoints hold its state.

    It sees the loss of every optimizer step and the gradient before it is clipped, and the loss of every evaluation.

    Args:
        policy: as for a `Controller`, over the Trainer's steps; None: the trainer was given a fed `PolicyLR`.
        lr: the peak; None: that of its optimizer.

    Raises:
        ProblemError: it is no Trainer, was given a scheduler of another kind, or the policy cannot drive it.
    """
    own = None if checked(trainer)._created_lr_scheduler else trainer.lr_scheduler
    if own is not None and not (isinstance(own, PolicyLR) and own.fed and policy is None):
        raise ProblemError(
            f"the Trainer was given a {type(own).__name__} as its scheduler; expected optimizers=(optimizer, None) beside "
            "drive(trainer, policy), or a PolicyLR(..., fed=True) and drive(trainer)"
        )
    if own is None and policy is None:
        raise ProblemError("drive(trainer) has no policy; expected drive(trainer, policy), e.g. drive(trainer, 'wsd')")
    if hasattr(trainer.training_step, "driven"):
        raise ProblemError("the Trainer is driven already; expected drive() once")
    if own is None:
        _check(trainer, policy)
        _Scheduling(trainer, policy, lr).install()
    _Feeding(trainer).install()


def apply(answer: GivesRate, trainer: Any) -> float:
    """Make the answer's rate that of `trainer`: of its arguments, and of the optimizer and scheduler it was given.

    Returns:
        The rate.

    Raises:
        NoAnswer: there is none.
        ProblemError: it is no Trainer.
    """
    optimizer = bare(checked(trainer).optimizer)
    lr: float = answer.lr.require()  # type: ignore[attr-defined]
    if optimizer is not None:
        answer.apply(optimizer, *filter(None, [trainer.lr_scheduler]))  # type: ignore[misc]
    trainer.args.learning_rate = lr
    return lr


def _check(trainer: Any, policy: Any) -> None:
    """Refuse now what would fail once training begins."""
    known = parsed(policy) if isinstance(policy, str) else policy
    if isinstance(known, Policy) and trainer.args.fp16 and any(name in OF_GRADIENT for name, _ in keys_of(known)):
        raise ProblemError(
            f"{known!r} reads gradients, which with fp16 are scaled until the Trainer clips them; expected bf16=True, or a "
            "policy that reads the loss"
        )


class _Scheduling:
    """Stands for the Trainer's `create_scheduler`."""

    def __init__(self, trainer: Any, policy: Any, lr: float | None) -> None:
        self._trainer, self.policy, self._lr = trainer, policy, lr

    def install(self) -> None:
        self._trainer.create_scheduler = self

    def __call__(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> PolicyLR:
        trainer = self._trainer
        if trainer.lr_scheduler is None:
            own = bare(optimizer or trainer.optimizer)
            trainer.lr_scheduler = PolicyLR(own, self.policy, self._lr, num_training_steps, model=trainer.model, fed=True)
            trainer._created_lr_scheduler = True
        return trainer.lr_scheduler


class _Feeding:
    """Stands for the Trainer's `training_step` and `evaluate`, and tells its scheduler what they return."""

    driven = True

    def __init__(self, trainer: Any) -> None:
        self._trainer, self._step, self._evaluate = trainer, trainer.training_step, trainer.evaluate
        self._loss = MeanLoss()

    def install(self) -> None:
        self._trainer.training_step, self._trainer.evaluate = self, self.evaluate

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = self._step(*args, **kwargs)
        self._loss.add(loss)
        if self._trainer.accelerator.sync_gradients:
            self._trainer.lr_scheduler.feed(self._loss.take())
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        metrics = self._evaluate(*args, **kwargs)
        scheduler = self._trainer.lr_scheduler
        if isinstance(scheduler, PolicyLR) and "eval_loss" in metrics:
            scheduler.controller.tell(metrics["eval_loss"])
        return metrics
