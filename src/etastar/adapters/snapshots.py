"""A ring of snapshots of a live training, to go back to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import EVERY, Whole
from etastar.core.batch import is_finite, map_tensors
from etastar.core.setup import Setup

KEEP = Whole(0, 1000, "snapshots")


@dataclass(frozen=True)
class Rollback:
    """What was restored.

    Args:
        step: optimizer steps taken at the place gone back to.
        undone: steps that were taken since.
        factor: of all rates from there on.
    """

    step: int
    undone: int
    factor: float

    def __str__(self) -> str:
        slower = f"; every rate from here on x {self.factor:g}" if self.factor != 1 else ""
        restored = "parameters, buffers of the model given, optimizer and policy are as they were"
        return f"back at step {self.step:,}, {self.undone:,} undone: {restored}; data and random state go on{slower}"


@dataclass(frozen=True)
class Saved:
    """A live training after `step` steps."""

    step: int
    tensors: list[torch.Tensor]
    optimizer: dict[str, Any]
    controller: dict[str, Any]


class Ring:
    """The last snapshots.

    Args:
        setup: what is trained.
        keep: how many there are at most; each holds the parameters, the buffers and the optimizer's state.
        every: optimizer steps from one to the next.
    """

    def __init__(self, setup: Setup, keep: int, every: int) -> None:
        self._setup, self._every = setup, EVERY("every", every)
        self._kept: deque[Saved] = deque(maxlen=KEEP("keep", keep))

    def offer(self, step: int, controller: Callable[[], dict[str, Any]]) -> None:
        """Take a snapshot if one is due and what it would hold is finite."""
        if not self._kept.maxlen or step % self._every:
            return
        own = self._tensors()
        if not is_finite(own):
            return
        copied = lambda tree: map_tensors(lambda t: t.detach().clone(), tree)
        optimizer = self._setup.optimizer.state_dict()
        self._kept.append(Saved(step, copied(own), copied(optimizer), copied(controller())))

    def restore(self) -> Saved | None:
        """Put the newest snapshot back and drop it, so that the next call goes further back; None where none is left."""
        if not self._kept:
            return None
        last = self._kept.pop()
        with torch.no_grad():
            for own, kept in zip(self._tensors(), last.tensors, strict=True):
                own.copy_(kept)
        self._setup.optimizer.load_state_dict(last.optimizer)
        return last

    def clear(self) -> None:
        """Drop all of them."""
        self._kept.clear()

    def _tensors(self) -> list[torch.Tensor]:
        """Parameters that are trained, and the model's buffers."""
        return [*self._setup.parameters(), *self._setup.model.buffers()]
