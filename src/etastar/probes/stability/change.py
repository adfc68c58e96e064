"""`Stability`: by how much two looks at a network differ, block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from etastar.probes.stability.look import StabilityLook, shared

Several = Sequence[torch.Tensor]


@dataclass(frozen=True)
class Split:
    """Which part of a block's change is its own; each relative to what was there before.

    Forward: f(x, W) - f(x, W_0) is own, f(x, W_0) - f(x_0, W_0) inherited. Backward, of J'd at the block's input: own by
    the weights, `below` by the inputs, `above` by the signal that comes in.

    Args:
        own, inherited: of the output.
        back_own, back_below, back_above: of the signal at the input; NaN where that takes no gradient.
    """

    own: float
    inherited: float
    back_own: float = math.nan
    back_below: float = math.nan
    back_above: float = math.nan


@dataclass(frozen=True)
class BlockStability:
    """How much one block changed.

    Args:
        name: of the block, `#1` for its second call.
        forward: A_b = |h - h_0| / |h_0| of its output.
        backward: B_b = |d - d_0| / |d_0| of the signal d = d loss / d h; NaN where there is none.
        backward_cosine: of d and d_0.
        gradient_cosine: of its weights' gradients.
        split: see `Split`; None where the probe does not split, or the block was given an object that it may write to.
    """

    name: str
    forward: float
    backward: float
    backward_cosine: float
    gradient_cosine: float
    split: Split | None = None


@dataclass(frozen=True)
class Stability:
    """What a few steps changed.

    Args:
        step: optimizer steps taken at the later look.
        k: steps between the two.
        rate: at the later look.
        loss: on the kept batch, at the later look.
        kl: F, the mean over samples of KL(p || p_0), in nats; NaN where the outputs are no logits.
        blocks: in their order.
    """

    step: int
    k: int
    rate: float
    loss: float
    kl: float
    blocks: tuple[BlockStability, ...]

    def __getitem__(self, name: str) -> BlockStability:
        for block in self.blocks:
            if block.name == name:
                return block
        raise KeyError(f"no block {name!r}; there are {', '.join(block.name for block in self.blocks)}")


def relative_and_cosine(now: Several | None, before: Several | None) -> tuple[float, float]:
    """|x - x_0| / |x_0|, and the cosine of x and x_0: exactly 0 and 1 where they are equal, NaN where one is missing.

        1 - cosine = (|x - x_0|^2 - (|x| - |x_0|)^2) / (2 |x| |x_0|)

    Args:
        now, before: x and x_0 in parts.

    >>> relative_and_cosine([torch.tensor([3.0]), torch.tensor([4.0])], [torch.tensor([3.0]), torch.tensor([0.0])])
    (1.3333333333333333, 0.6)
    >>> relative_and_cosine([torch.zeros(1)], [torch.zeros(1)])
    (0.0, nan)
    """
    if now is None or before is None:
        return math.nan, math.nan
    moved, size, size_0 = map(_norm, ([a - b for a, b in zip(now, before, strict=True)], now, before))
    both = 2 * size * size_0
    return share(moved, size_0), 1 - (moved**2 - (size - size_0) ** 2) / both if both else math.nan


def _norm(parts: Several) -> float:
    return math.hypot(*(float(torch.linalg.vector_norm(part)) for part in parts))


def share(moved: float, size: float) -> float:
    """moved / size; 0 where nothing moved, of nothing, too."""
    return 0.0 if moved == 0 else moved / size if size else math.inf


def change_of(before: StabilityLook, after: StabilityLook) -> tuple[BlockStability, ...]:
    """Every block that spoke at both looks, as often and in the same shape."""
    told = lambda own: None if own.signal is None else [own.signal]
    found = []
    for was, now in shared(before, after):
        forward, _ = relative_and_cosine([now.output], [was.output])
        backward, aligned = relative_and_cosine(told(now), told(was))
        _, agreeing = relative_and_cosine(after.gradients.get(now.block), before.gradients.get(now.block))
        found.append(BlockStability(now.name, forward, backward, aligned, agreeing))
    return tuple(found)


def divergence(before: StabilityLook, after: StabilityLook) -> float:
    """Mean of KL(p || p_0)."""
    q, p = before.log_p, after.log_p
    if p is None or q is None or p.shape != q.shape:
        return math.nan
    return float((p.exp() * (p - q)).sum(-1).mean())
