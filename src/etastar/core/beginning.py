"""`Beginning`: the state of a user's own training after some steps, where lanes begin instead of at fresh weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar import arguments
from etastar.arguments import shown
from etastar.core.batch import map_tensors, tensors_in
from etastar.core.optimizers import SeveralOptimizers
from etastar.errors import ProblemError, in_one_line

MODEL = ("model", "model_state_dict", "state_dict")
OPTIMIZER = ("optimizer", "optimizer_state_dict", "optimizer_states")
"""What checkpoints call the two, etastar's own name first; Lightning's holds a list of one optimizer."""
EXPECTED = 'expected {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, a pair of them, or a file of it'
NOT_RULES = {
    "params", "lr", "initial_lr", "name", "foreach", "fused", "maximize", "capturable", "differentiable",
    "decoupled_weight_decay", "max_lr", "min_lr", "swapped",
}  # fmt: skip
"""Settings of a group that other versions of torch, and schedulers, add or leave out."""
RATES = ("lr", "initial_lr", "max_lr", "min_lr")
"""What a checkpoint's groups hold of its schedule."""
ALIKE = ("momentum_buffer", "exp_avg", "exp_avg_sq", "square_avg", "max_exp_avg_sq", "prev")
"""Slots of torch's optimizers that have their parameter's shape: `load_state_dict` does not look at it."""


@dataclass(frozen=True, eq=False)
class Beginning:
    """Weights, buffers and moments after `step` optimizer steps; rates and settings are those of the problem's optimizer.

    Args:
        model: a model's `state_dict()`.
        optimizer: its optimizer's, whose moments go on; None: the optimizer starts anew.
        step: steps of the problem's schedule and of its data that are over.
    """

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any] | None
    step: int

    @classmethod
    def of(cls, state: Any, step: int) -> Beginning:
        """A copy of what a user hands over: two state dicts, a dict of them, or the file such a dict was saved in.

        Raises:
            ProblemError: it is none of them, the step is negative, or the run had diverged.

        >>> net = torch.nn.Linear(2, 1)
        >>> Beginning.of({"model": net.state_dict()}, 100).optimizer is None
        True
        """
        arguments.FROM_STEP("at", step)
        model, optimizer = _parts(_read(state) if isinstance(state, (str, os.PathLike)) else state)
        for what, part in (("the model", model), ("the optimizer", optimizer)):
            if not all(bool(torch.isfinite(t).all()) for t in tensors_in(part or {})):
                raise ProblemError(
                    f"the checkpoint holds NaN or inf in the state of {what}: its run had diverged; expected an earlier one"
                )
        return cls(_copied(model), None if optimizer is None else _copied(optimizer), step)

    @property
    def updates(self) -> int | None:
        """Steps its optimizer has counted, the same for all parameters; None where they are not the same.

        An optimizer that counts none (SGD) has taken `step`.
        """
        if self.optimizer is None or not self.optimizer.get("state"):
            return 0
        slots = self.optimizer["state"]
        held = {p for group in self.optimizer["param_groups"] for p in group["params"]}
        counts = {float(own["step"]) if "step" in own else None for own in slots.values()}
        if counts == {None}:
            return max(self.step, 1)
        count = counts.pop()
        return int(count) if not counts and count is not None and held == set(slots) else None

    def give_weights(self, model: nn.Module) -> None:
        """Load a fresh model of the problem's.

        Raises:
            ProblemError: the checkpoint is of another model.
        """
        own, kept = model.state_dict(), self.model
        missing, left = [n for n in own if n not in kept], [n for n in kept if n not in own]
        if missing or left:
            lacks = f"lacks {missing[0]!r}" if missing else f"holds {left[0]!r}, which the problem's model does not have"
            raise ProblemError(
                f"the checkpoint {lacks} ({len(missing)} names missing, {len(left)} left over); expected the state_dict() "
                "of the model that the problem's factory makes"
            )
        for name, tensor in own.items():
            shapes = [tuple(t.shape) if isinstance(t, torch.Tensor) else None for t in (tensor, kept[name])]
            if shapes[0] != shapes[1]:
                raise ProblemError(
                    f"{name!r} has shape {shapes[1]} in the checkpoint; expected {shapes[0]}, that of the problem's model"
                )
        model.load_state_dict(dict(kept))

    def give_moments(self, optimizer: torch.optim.Optimizer) -> None:
        """Load what a fresh optimizer of the problem's keeps of its parameters; its rates and settings stay its own.

        Raises:
            ProblemError: the checkpoint is of another optimizer, or of other parameter groups.
        """
        if self.optimizer is None:
            return
        settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
        self._check_rules(optimizer)
        try:
            optimizer.load_state_dict(_copied(self.optimizer))
        except Exception as error:  # whatever a state of something else makes of it
            raise ProblemError(
                f"the problem's {type(optimizer).__name__} refuses the checkpoint's state: {in_one_line(error)}; expected "
                "the state_dict() of an optimizer with the same parameter groups, or a checkpoint of the model alone"
            ) from None
        for group, own in zip(optimizer.param_groups, settings, strict=True):
            kept = {} if _keeps_state_in_slots(optimizer) else {k: v for k, v in group.items() if k not in RATES}
            params = group["params"]
            group.clear()
            group.update(own | kept, params=params)
        for p, slots in optimizer.state.items():
            for name in ALIKE if isinstance(p, torch.Tensor) else ():
                if isinstance(slot := slots.get(name), torch.Tensor) and slot.shape != p.shape:
                    raise ProblemError(
                        f"the checkpoint's {name} has shape {tuple(slot.shape)} where the problem's optimizer holds a "
                        f"parameter of shape {tuple(p.shape)}; expected the same parameters in the same order"
                    )

    def _check_rules(self, optimizer: torch.optim.Optimizer) -> None:
        kept = (self.optimizer or {}).get("param_groups")
        if not kept or not isinstance(kept, list):
            return  # of several, or none: `load_state_dict` says what it makes of it
        own, theirs = (set(groups[0]) - NOT_RULES for groups in (optimizer.param_groups, kept))
        if apart := own ^ theirs if _keeps_state_in_slots(optimizer) else own - theirs:
            raise ProblemError(
                f"the checkpoint is of another optimizer than the problem's {type(optimizer).__name__}: only one of them "
                f"has {sorted(apart)[0]!r}; expected the same class, or a checkpoint of the model alone, whose moments "
                "start anew"
            )


def _keeps_state_in_slots(optimizer: torch.optim.Optimizer) -> bool:
    """Whether groups hold settings alone, as with torch's own optimizers; Schedule-Free and Prodigy count in theirs."""
    own = optimizer.own if isinstance(optimizer, SeveralOptimizers) else (optimizer,)
    return all(type(o).__module__.startswith("torch.optim") for o in own)


def _read(path: str | os.PathLike[str]) -> Any:
    if not os.path.isfile(path):  # of a name that is too long false, where Path.is_file raises
        raise ProblemError(f"there is no file {shown(os.fspath(path))}; expected a checkpoint by torch.save: {EXPECTED}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is none makes of unpickling
        raise ProblemError(
            f"{os.fspath(path)} holds no checkpoint that can be read safely ({type(error).__name__}); {EXPECTED}, saved by "
            "torch.save"
        ) from None


def _parts(state: Any) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The state of the model and, where there is one, of its optimizer."""
    if isinstance(state, (tuple, list)) and len(state) == 2:
        model, optimizer = state
    elif isinstance(state, Mapping):
        model, optimizer = (next((state[n] for n in names if n in state), None) for names in (MODEL, OPTIMIZER))
        if model is None and state and all(isinstance(t, torch.Tensor) for t in state.values()):
            model = state  # a bare state_dict()
    else:
        raise ProblemError(f"start_from is {shown(state)}; {EXPECTED}")
    if isinstance(optimizer, list) and len(optimizer) == 1:
        [optimizer] = optimizer
    live = (nn.Module, torch.optim.Optimizer)
    model, optimizer = (part.state_dict() if isinstance(part, live) else part for part in (model, optimizer))
    if not isinstance(model, Mapping) or not model or not (optimizer is None or isinstance(optimizer, Mapping)):
        raise ProblemError(f"the checkpoint holds no state of a model, or an odd one of its optimizer; {EXPECTED}")
    return model, optimizer


def _copied(tree: Any) -> Any:
    return map_tensors(lambda t: t.detach().clone(), dict(tree))
