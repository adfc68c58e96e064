"""`Stability`: by how much two looks at a network differ, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from etastar.probes.stability.look import StabilityLook, shared


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
        split: see `Split`; None where the probe does not split.
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


def relative(now: torch.Tensor | None, before: torch.Tensor | None) -> float:
    """|x - x_0| / |x_0|: 0 where they are equal, zeros too, and NaN where one is missing.

    >>> relative(torch.tensor([3.0, 14.0]), torch.tensor([0.0, 10.0])), relative(torch.zeros(1), torch.zeros(1))
    (0.5, 0.0)
    """
    return math.nan if now is None or before is None else apart(now, before, float(torch.linalg.vector_norm(before)))


def apart(a: torch.Tensor, b: torch.Tensor, size: float) -> float:
    """|a - b| / size; 0 where they are equal, whatever the size."""
    distance = float(torch.linalg.vector_norm(a - b))
    return 0.0 if distance == 0 else distance / size if size else math.inf


def cosine(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    """Of the angle between two tensors, from the distance of their unit vectors: exact where they are equal.

    >>> cosine(torch.tensor([1.0, 0.0]), torch.tensor([-3.0, 0.0])), cosine(torch.ones(3), torch.ones(3))
    (-1.0, 1.0)
    """
    if a is None or b is None or not (a.any() and b.any()):
        return math.nan
    unit = lambda x: x.double() / torch.linalg.vector_norm(x.double())
    return 1 - float(torch.linalg.vector_norm(unit(a) - unit(b))) ** 2 / 2


def change_of(before: StabilityLook, after: StabilityLook) -> tuple[BlockStability, ...]:
    """Every block that spoke at both looks, as often and in the same shape."""
    return tuple(
        BlockStability(
            name=own.name,
            forward=relative(own.output, was.output),
            backward=relative(own.signal, was.signal),
            backward_cosine=cosine(own.signal, was.signal),
            gradient_cosine=cosine(after.gradients.get(own.block), before.gradients.get(own.block)),
        )
        for was, own in shared(before, after)
    )


def divergence(before: StabilityLook, after: StabilityLook) -> float:
    """Mean of KL(p || p_0)."""
    q, p = before.log_p, after.log_p
    if p is None or q is None or p.shape != q.shape:
        return math.nan
    return float((p.exp() * (p - q)).sum(-1).mean())
