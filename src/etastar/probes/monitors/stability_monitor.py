"""How much a step changes what blocks say and are told, while a network trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from etastar.arguments import EVERY
from etastar.core.batch import Batch
from etastar.core.monitor import Readings, check_every
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.standing import kept, standing_point
from etastar.probes.point import Point
from etastar.probes.stability.change import Stability
from etastar.probes.stability.look import StabilityLook
from etastar.probes.stability.stability_probe import StabilityProbe

READ = ("forward", "backward", "backward_cosine", "gradient_cosine")


@dataclass(frozen=True, eq=False)
class _LastLook:
    batch: Batch
    look: StabilityLook | None = None


@dataclass(frozen=True)
class StabilityMonitor:
    """How much `k` steps change, on the kept batch, what every block says and what it is told (see `StabilityProbe`):

        forward = A_b = |h - h_0| / |h_0|,    backward = B_b = |d - d_0| / |d_0|,    kl = F = mean KL(p || p_0),

    `backward_cosine` of d and d_0, and `gradient_cosine` of the gradients of the block's weights. It looks twice: every so
    many steps, and `k` after; at every look it reads `size` and `signal`, the root mean squares of h and d.

    Args:
        every: steps from the first of two looks to the next.
        k: steps between the two; `every` makes it one look after the other.
        blocks: names or globs of modules; empty: automatic.
        split: also `own` and `inherited`, the parts of A_b that are the block's own update and what earlier ones did.

    Raises:
        ProblemError: `every` or `k` is no integer >= 1, or k > every.
    """

    every: int
    k: int = 1
    blocks: tuple[str, ...] = ()
    split: bool = False
    name: ClassVar[str] = "stability"
    drawn: ClassVar[tuple[Drawn, ...]] = (
        Drawn(
            "forward",
            "how much a step changes what blocks say",
            "Each line is one block, the first pale and the last dark: |change of its output| / |output| on the same batch. "
            "It follows the rate: what is the rest of the network to a block stands still as the rate falls.",
        ),
        Drawn(
            "backward",
            "how much a step changes what blocks are told",
            "The same of the loss's gradient with respect to the block's output. Behind a ReLU it follows the root of the "
            "rate: signals change where units switch.",
        ),
    )

    def __post_init__(self) -> None:
        check_every(self)
        if EVERY("k", self.k) > self.every:
            raise ProblemError(f"k is {self.k}, and the monitor looks every {self.every} steps; expected k <= every")

    @property
    def lag(self) -> int:
        """Steps after each look at which it looks again."""
        return self.k

    def init(self, setup: Setup, batch: Batch) -> _LastLook:
        """The kept batch."""
        return _LastLook(kept(batch))

    def look(self, step: int, setup: Setup, state: _LastLook) -> tuple[Readings, _LastLook]:
        """Sizes, and what has changed where the last look is `k` steps ago."""
        with standing_point(setup, state.batch) as point:
            probe, look = self._look(step, point)
            first = state.look
            due = first is not None and step == first.step + self.k and first.step % self.every == 0
            change = probe.change(first, look) if first is not None and due else None
        sizes = [
            (own.name, name, _rms(x)) for own in look.passes for name, x in (("size", own.output), ("signal", own.signal))
        ]
        return [("", "loss", look.loss), *sizes, *_changes(change)], replace(state, look=look)

    def _look(self, step: int, point: Point) -> tuple[StabilityProbe, StabilityLook]:
        try:
            probe = StabilityProbe(
                point.model,
                point.batch,
                loss=point.loss,
                loss_fn=point.loss_fn,
                blocks=self.blocks or None,
                split=self.split,
                seed=point.seed,
            )
            return probe, probe.look(step=step)
        except ProblemError as error:  # blocks that this model has not, a loss without a gradient
            raise DoesNotApply(str(error)) from error


def _changes(change: Stability | None) -> Sequence[tuple[str, str, float]]:
    if change is None:
        return ()
    rows = [(block.name, name, getattr(block, name)) for block in change.blocks for name in READ]
    parts = [(block.name, name, x) for block in change.blocks if block.split for name, x in vars(block.split).items()]
    return [("", "kl", change.kl), *rows, *parts]


def _rms(x: torch.Tensor | None) -> float:
    return math.nan if x is None else float(torch.linalg.vector_norm(x)) / math.sqrt(max(x.numel(), 1))
