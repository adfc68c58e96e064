"""`StabilityLook`: what is kept of a network at one moment, for a comparison with a later one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from etastar.probes.stability.passes import Pass


@dataclass(frozen=True, eq=False)
class StabilityLook:
    """A network on the kept batch.

    Args:
        step: optimizer steps taken.
        rate: in use.
        loss: on the kept batch.
        passes: of the blocks, in their order; outputs without graph.
        gradients: block -> d loss / d each of its weights.
        weights: block -> its parameters and buffers by name, copies; empty but for a split.
        log_p: log-probabilities of the classes, [.., classes]; None where the outputs are no logits.
    """

    step: int
    rate: float
    loss: float
    passes: Sequence[Pass]
    gradients: Mapping[str, Sequence[torch.Tensor]]
    weights: Mapping[str, Mapping[str, torch.Tensor]]
    log_p: torch.Tensor | None

    @property
    def has_gradients(self) -> bool:
        """Whether signals were read."""
        return any(own.signal is not None for own in self.passes)


def log_probabilities(outputs: Any, targets: Any) -> torch.Tensor | None:
    """log p of every class where `outputs` are logits: of integer targets, of targets that are probabilities, or `.logits`.

    >>> log_probabilities(torch.zeros(1, 2), torch.tensor([1])).exp()
    tensor([[0.5000, 0.5000]], dtype=torch.float64)
    >>> log_probabilities(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])) is None
    True
    """
    if isinstance(logits := getattr(outputs, "logits", None), torch.Tensor):
        return logits.detach().double().log_softmax(-1)
    if not (isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor) and outputs.dim() > 1):
        return None
    z = outputs.detach().double()
    if not targets.is_floating_point():
        last = targets.shape == z.shape[:-1]
        fits = last or targets.shape == (z.shape[0], *z.shape[2:])
        return z.movedim(-1 if last else 1, -1).log_softmax(-1) if fits else None
    sums = targets.sum(1) if targets.shape == z.shape else torch.zeros(1)
    shares = bool((targets >= 0).all() and ((sums - 1).abs() < 1e-4).all())
    return z.movedim(1, -1).log_softmax(-1) if shares else None


def shared(before: StabilityLook, after: StabilityLook) -> list[tuple[Pass, Pass]]:
    """(earlier, later) of every pass that both have, of outputs of the same shape."""
    earlier = {own.name: own for own in before.passes}
    pairs = [(earlier[own.name], own) for own in after.passes if own.name in earlier]
    return [(was, own) for was, own in pairs if was.output.shape == own.output.shape]
