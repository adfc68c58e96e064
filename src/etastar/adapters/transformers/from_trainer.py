"""What a Trainer would train, as a `Problem`: its model, optimizer, loss, data, schedule, clipping and accumulation."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from etastar.adapters.micro_batches import MicroBatch, MicroBatches, taken_apart
from etastar.arguments import shown
from etastar.core.problem import Problem
from etastar.errors import ProblemError


def is_trainer(value: Any) -> bool:
    """Whether it is a Trainer of Transformers, which need not be installed."""
    return any(kind.__name__ == "Trainer" and kind.__module__ == "transformers.trainer" for kind in type(value).__mro__)


def checked(trainer: Any) -> Any:
    """`trainer`.

    Raises:
        ProblemError: it is none, or trains in a way that lanes cannot.
    """
    if not is_trainer(trainer):
        raise ProblemError(f"got {shown(trainer)}; expected a transformers.Trainer")
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ProblemError("the Trainer shards its model (DeepSpeed, FSDP); expected one that trains on one device")
    return trainer


def problem_from(trainer: Any, *, steps: int | None = None, name: str | None = None, seed: int = 0) -> Problem:
    """What `trainer` would train, as a `Problem`; the trainer, its model and optimizer are left as they are.

    Lanes have its `model_init` (else copies of its model, LoRA's frozen base included), `create_optimizer`, `compute_loss`,
    collator, schedule, `max_grad_norm` and accumulation. As in the Trainer, the loss of a step is that of all its labels:
    sum over micro-batches / labels that count in all of them. They are scored on `eval_dataset`, where there is one.

    Args:
        steps: optimizer steps; None: those of the Trainer.
        name, seed: see `Problem`.

    Raises:
        ProblemError: it is no Trainer, is sharded, has NEFTune's noise, or a scheduler object that cannot be made again.
    """
    args = checked(trainer).args
    if args.neftune_noise_alpha is not None:
        raise ProblemError("the Trainer adds NEFTune's noise, which lanes do not; expected neftune_noise_alpha=None")
    loader = trainer.get_train_dataloader()
    steps = int(trainer.set_initial_training_values(args, loader)[-1]) if steps is None else steps
    plain, accumulate = taken_apart(loader), args.gradient_accumulation_steps
    net = copy.deepcopy(trainer.model) if trainer.model_init is None else None
    parts = TrainerParts(_apart(trainer, net), net, _settings(trainer) if net is not None and trainer.optimizer else None)
    return Problem(
        model=parts.model,
        optimizer=parts.optimizer,
        loss_fn=parts.loss,
        train=plain if accumulate == 1 else MicroBatches(plain, accumulate, parts.weigh).loader(),
        valid=None if trainer.eval_dataset is None else taken_apart(trainer.get_eval_dataloader(_one(trainer.eval_dataset))),
        steps=steps,
        schedule=_schedule(trainer, parts, steps),
        clip_grad_norm=args.max_grad_norm or None,
        accumulate=accumulate,
        name=name,
        seed=seed,
    )


def _one(eval_dataset: Any) -> Any:
    """The first of several data sets for evaluation."""
    return next(iter(eval_dataset.values())) if isinstance(eval_dataset, dict) else eval_dataset


@dataclass(frozen=True, eq=False)
class TrainerParts:
    """The factories of a problem.

    Args:
        trainer: one apart.
        net: what models are copies of; None where the Trainer makes new ones.
        given: the optimizer that it was given.
    """

    trainer: Any
    net: nn.Module | None
    given: GivenOptimizer | None

    def model(self) -> nn.Module:
        """A new model; a copy, since LoRA's may share their base."""
        return copy.deepcopy(self.trainer.call_model_init() if self.net is None else self.net)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """What the Trainer would make for it, or one like that it was given."""
        if self.given is not None:
            return self.given.again(model)
        with _with(self.trainer, model=model, optimizer=None):
            return self.trainer.create_optimizer()

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
        """What the Trainer would make for it."""
        with _with(self.trainer, optimizer=optimizer, lr_scheduler=None, _created_lr_scheduler=False):
            return self.trainer.create_scheduler(num_training_steps=steps, optimizer=optimizer)

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """The loss as the Trainer takes it, under its autocast."""
        if not isinstance(batch, MicroBatch):
            batch = MicroBatch(batch, self.weigh([batch])[0], 1.0)
        trainer = self.trainer
        with trainer.compute_loss_context_manager(), trainer.accelerator.autocast():
            loss = trainer.compute_loss(model, {**batch.inputs}, num_items_in_batch=batch.items)
        return loss if batch.weight == 1.0 else loss * batch.weight

    def weigh(self, batches: list[Any]) -> tuple[Any, float]:
        """Labels that count in a step, and what its losses weigh in a mean (see Trainer.training_step).

        They are to be added up where they are divided by the labels of all, else averaged.
        """
        trainer, labels = self.trainer, batches[0].get("labels")
        items = trainer._get_num_items_in_batch(batches, trainer.args.device if labels is None else labels.device)
        if (divided := trainer.loss_is_scaled_for_ga) is None:
            counted = trainer.model_accepts_loss_kwargs and items is not None
            divided = counted or trainer.compute_loss_func is not None
        return items, trainer.args.gradient_accumulation_steps / (1 if divided else len(batches))


def bare(optimizer: Any) -> Any:
    """The optimizer within Accelerate's."""
    return optimizer.optimizer if type(optimizer).__name__ == "AcceleratedOptimizer" else optimizer


@dataclass(frozen=True)
class GivenOptimizer:
    """An optimizer as it was given: its class, its defaults, its groups with the names of their parameters."""

    kind: type[torch.optim.Optimizer]
    defaults: dict[str, Any]
    groups: list[dict[str, Any]]

    def again(self, model: nn.Module) -> torch.optim.Optimizer:
        """The same for a model of the same names."""
        known = dict(model.named_parameters())
        groups = [{**group, "params": [known[name] for name in group["params"]]} for group in self.groups]
        return self.kind(groups, **self.defaults)


def _settings(trainer: Any) -> GivenOptimizer:
    """What the Trainer's optimizer was made with."""
    own = bare(trainer.optimizer)
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    if any(id(p) not in names for group in own.param_groups for p in group["params"]):
        raise ProblemError(
            "the Trainer's optimizer holds parameters that are not its model's; expected one of trainer.model.parameters()"
        )
    groups = []
    for group in own.param_groups:
        settings = {key: group[key] for key in group if key in own.defaults or key == "name"}
        first = group.get("initial_lr", group["lr"])
        groups.append({**settings, "lr": first, "params": [names[id(p)] for p in group["params"]]})
    known = inspect.signature(type(own)).parameters
    return GivenOptimizer(type(own), {key: value for key, value in own.defaults.items() if key in known}, groups)


def _apart(trainer: Any, net: nn.Module | None) -> Any:
    """A Trainer like `trainer` without its run: calls on it leave the other alone, and it can be sent to a process."""
    apart, accelerator = copy.copy(trainer), copy.copy(trainer.accelerator)
    vars(accelerator).update(_models=[], _optimizers=[], _schedulers=[], _dataloaders=[], gradient_state=None)
    for name in ("training_step", "evaluate", "create_scheduler"):  # what `drive` has put there
        vars(apart).pop(name, None)
    vars(apart).update(
        accelerator=accelerator,
        gather_function=accelerator.gather_for_metrics,
        model=net,
        model_wrapped=net,
        train_dataset=None,
        eval_dataset=None,
        optimizer=None,
        lr_scheduler=None,
        state=type(trainer.state)(),
        control=type(trainer.control)(),
        callback_handler=None,
        _memory_tracker=None,
        _eval_dataloaders={},
        current_gradient_accumulation_steps=trainer.args.gradient_accumulation_steps,
    )
    return apart


def _schedule(trainer: Any, parts: TrainerParts, steps: int) -> Any:
    """The policy that drives the Trainer, or what makes its scheduler."""
    if (driven := getattr(trainer.create_scheduler, "policy", None)) is not None:
        return driven
    own = trainer.lr_scheduler
    if own is None or trainer._created_lr_scheduler:
        return lambda optimizer: parts.scheduler(optimizer, steps)
    if (planned := getattr(own, "policy", None)) is not None:
        return planned
    if type(own) is LambdaLR:
        return lambda optimizer: LambdaLR(optimizer, own.lr_lambdas)
    raise ProblemError(
        f"the Trainer was given a {type(own).__name__}, which cannot be made again for another optimizer; expected "
        "lr_scheduler_type=... in its arguments, a LambdaLR, or a PolicyLR"
    )


@contextmanager
def _with(trainer: Any, **attributes: Any) -> Iterator[None]:
    """The Trainer with other attributes, for as long as it makes something of them."""
    saved = {name: getattr(trainer, name) for name in attributes}
    try:
        vars(trainer).update(attributes)
        yield
    finally:
        vars(trainer).update(saved)
