"""What led a network where it is, and its state there, which is kept for all that go on from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from etastar.policies.policy import Policy
from etastar.policies.trunk import chain_of

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Led:
    """How a lane of the study is led.

    Args:
        policy: its rates, of the halves "early" and "late".
        steps: its length.
        burn: the step from which it differs from the trunk.
        weight_decay: times the problem's own, from `burn` on.
        noise: share of labels drawn anew, from `burn` on; None is the problem's own.
        forgotten: at `burn` the optimizer begins anew, without momentum and second moments.
        held: the late half stands, by turns of so many steps, at its weights of the trunk's steps `held_at`.
    """

    policy: Policy
    steps: int
    burn: int
    weight_decay: float = 1.0
    noise: float | None = None
    forgotten: bool = False
    dwell: int = 0
    held_at: tuple[int, ...] = ()

    @property
    def trunk(self) -> Policy:
        """What leads it until `burn`."""
        return chain_of(self.policy, self.steps)[0][0]

    @property
    def links(self) -> list[tuple[str, int]]:
        """(what led it there, step) of the trunk's end and of every change of policy after it; the last is its own end."""
        own = (self.weight_decay, self.noise, self.forgotten, self.dwell, self.held_at)
        said = "" if own == (1.0, None, False, 0, ()) else f" {own}"
        chain = chain_of(self.policy, self.steps)
        return [(repr(chain[0][0]), self.burn), *((f"{p!r}{said}", end) for p, end in chain if end > self.burn)]


@dataclass
class State:
    """A network under way.

    Args:
        step: optimizer steps taken.
        weights, buffers, optimizer: as they are.
        averages: decay -> the average of the weights since `burn`.
        objective: of every step's batch since the trunk's end, before the update; `averaged`: the same with the averages.
    """

    step: int
    weights: Weights
    buffers: Weights
    optimizer: dict[str, Any]
    averages: dict[float, Weights] = field(default_factory=dict)
    objective: list[float] = field(default_factory=list)
    averaged: dict[float, list[float]] = field(default_factory=dict)


class States:
    """States by what led to them: in a folder, so that a study that is stopped goes on, and arms share their trunks.

    Args:
        folder: where they lie; None keeps them in memory.
        named: what they are of: data, problem, sizes, versions.
    """

    def __init__(self, folder: Path | None, named: str) -> None:
        self.folder, self.named = folder, named
        self._memory: dict[str, State] = {}

    def find(self, seed: int, link: tuple[str, int]) -> State | None:
        """The state, if there is one that can be read."""
        key = self._key(seed, link)
        if self.folder is None:
            return self._memory.get(key)
        try:
            return State(**torch.load(self.folder / f"{key}.pt", weights_only=True))
        except (OSError, RuntimeError, EOFError, TypeError, ValueError, KeyError):
            return None

    def keep(self, seed: int, link: tuple[str, int], state: State) -> None:
        """Keep it."""
        key = self._key(seed, link)
        if self.folder is None:
            self._memory[key] = state
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f".{key}.part"
        torch.save(vars(state), half)
        half.replace(self.folder / f"{key}.pt")

    def _key(self, seed: int, link: tuple[str, int]) -> str:
        return hashlib.blake2b(repr((self.named, seed, link)).encode(), digest_size=12).hexdigest()
