"""`Snapshot`: a lane as it was after some steps, in memory or in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from etastar.core.batch import map_tensors
from etastar.core.lane import Lane
from etastar.core.optimizers import SeveralOptimizers
from etastar.core.setup import Setup
from etastar.errors import ProblemError
from etastar.version import __version__

FORMAT = 1
"""Of the file; raised when older ones can no longer be read."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that decides how a lane goes on after `step` steps, but for its data, which are read again up to there.

    Args:
        lane: what was trained.
        step: optimizer steps taken.
        tensors: parameters and buffers by name.
        slots: by parameter, what the optimizer keeps for it (`optimizer.state`).
        settings: by parameter, the numbers of its group, but for the rate.
        steering: state of the policy and of its signals, the rate in use.
        history: what was recorded, step by step.
    """

    lane: Lane
    step: int
    tensors: Mapping[str, torch.Tensor]
    slots: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    steering: Mapping[str, Any]
    history: Mapping[str, Any]

    @classmethod
    def of(cls, lane: Lane, step: int, setup: Setup, steering: Mapping[str, Any], history: Mapping[str, Any]) -> Snapshot:
        """A copy of a lane under way."""
        slots, settings = {}, {}
        for name, group, owner, p in _held(setup):
            settings[name] = {key: value for key, value in group.items() if _is_plain(value) and key != "lr"}
            if p in owner.state:
                slots[name] = _copied(dict(owner.state[p]))
        tensors = {name: t.detach().clone() for name, t in _tensors(setup).items()}
        return cls(lane, step, tensors, slots, settings, _copied(steering), _copied(history))

    def restore(self, setup: Setup, *, settings: bool = True) -> None:
        """Make a fresh setup of the same problem what it was then; its groups may be cut otherwise.

        Args:
            settings: those of the groups, too.

        Raises:
            ProblemError: the model or its optimizer has other parameters than are kept here.
        """
        own = _tensors(setup)
        apart = list(own.keys() ^ self.tensors.keys())
        apart += [name for name in own.keys() & self.tensors.keys() if own[name].shape != self.tensors[name].shape]
        if apart:
            raise ProblemError(
                f"the snapshot is of another model: {sorted(apart)[0]!r} is not the same in both; expected the model it was "
                "made of"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(self.tensors[name])
        for name, group, owner, p in _held(setup):
            if settings:
                group.update(self.settings.get(name, {}))
            if name in self.slots:
                owner.state[p] = _beside(p, self.slots[name])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, whole or not at all; `torch.load(path, weights_only=True)` reads it."""
        made = {name: value for name, value in vars(self).items() if name != "lane"}
        path = Path(path)
        half = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            torch.save({"format": FORMAT, "etastar": __version__, "lane": described(self.lane)} | made, half)
            os.replace(half, path)
        finally:
            half.unlink(missing_ok=True)  # what a full disk leaves

    @classmethod
    def load(cls, path: str | os.PathLike[str], lane: Lane) -> Snapshot:
        """The snapshot of `lane` in a file.

        Raises:
            ProblemError: the file holds none, or that of another lane, policy or version.
        """
        try:
            made = torch.load(path, weights_only=True, map_location=None if torch.cuda.is_available() else "cpu")
            found = made["format"], made["etastar"], made["lane"]
        except Exception as error:  # whatever a file that is none makes of unpickling
            raise ProblemError(
                f"{path} holds no snapshot of a lane ({type(error).__name__}); expected one by save()"
            ) from None
        if found[:2] != (FORMAT, __version__):
            raise ProblemError(
                f"{path} was written by etastar {found[1]} (format {found[0]}), this is {__version__} (format {FORMAT}); "
                "train the lane again"
            )
        if found[2] != described(lane):
            raise ProblemError(f"{path} is of another lane ({found[2]}); expected {described(lane)}")
        return cls(lane=lane, **{name: made[name] for name in cls.__dataclass_fields__ if name != "lane"})

    def as_lane(self, lane: Lane) -> Snapshot:
        """The same under another lane's name."""
        return replace(self, lane=lane)


def check_begins(lane: Lane, before: Lane, step: int) -> None:
    """Refuse to let a lane go on from another after `step` steps that begins otherwise; policies compare themselves.

    Raises:
        ProblemError: another rate, seed, setting, criterion or stopping rule; or it would be over by then.
    """
    for name in ("lr", "seed", "settings", "criterion", "until"):
        was, asked = getattr(before, name), getattr(lane, name)
        if was != asked:
            raise ProblemError(f"a lane of {name} {asked!r} cannot go on from one of {name} {was!r}; expected the same")
    if step >= lane.steps:
        raise ProblemError(f"a lane of {lane.steps} steps cannot go on at step {step}; expected more steps")


def described(lane: Lane) -> str:
    """Everything that decides what a lane does as long as it lasts, as text."""
    return repr((lane.lr, lane.seed, lane.until.value, lane.criterion, lane.policy, lane.settings))


def _tensors(setup: Setup) -> dict[str, torch.Tensor]:
    return dict(setup.model.named_parameters()) | dict(setup.model.named_buffers())


def _held(setup: Setup) -> list[tuple[str, dict[str, Any], torch.optim.Optimizer, torch.Tensor]]:
    """(name, group, optimizer, parameter) of all that is optimized."""
    names = {id(p): name for name, p in setup.model.named_parameters()}
    optimizer = setup.optimizer
    if not isinstance(optimizer, SeveralOptimizers):
        return [(names[id(p)], group, optimizer, p) for group in optimizer.param_groups for p in group["params"]]
    owned = [(group, owner) for owner in optimizer.own for group in owner.param_groups]
    return [(names[id(p)], group, owner, p) for group, owner in owned for p in group["params"]]


def _copied(tree: Any) -> Any:
    return map_tensors(lambda t: t.detach().clone(), tree)


def _beside(p: torch.Tensor, slots: Any) -> Any:
    """A copy of a parameter's slots: those of its size lie where it does, counts stay where torch keeps them."""
    return map_tensors(lambda t: t.clone().to(p.device) if t.dim() and t.shape == p.shape else t.clone(), slots)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) or value is None
