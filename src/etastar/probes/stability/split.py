"""Whether a block changed by its own weights, or because of what other blocks did."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from etastar.core.batch import Batch, tensors_in
from etastar.probes.stability.change import Split, share
from etastar.probes.stability.look import StabilityLook, shared
from etastar.probes.stability.passes import Pass, again

Weights = Mapping[str, torch.Tensor]


def splits(blocks: Mapping[str, nn.Module], before: StabilityLook, after: StabilityLook) -> dict[str, Split]:
    """name of a pass -> its split, for all that the looks share. A block is asked three times more.

    Call where nothing is left behind.
    """
    weights = lambda own: (before.weights[own.block], after.weights[own.block])
    return {own.name: _split(blocks[own.block], was, own, *weights(own)) for was, own in shared(before, after)}


def _split(block: nn.Module, was: Pass, own: Pass, old: Weights, new: Weights) -> Split:
    assert was.given is not None and own.given is not None
    carried, inputs = again(block, own.given, old)  # f(x, W_0)
    said, size = carried.detach(), float(torch.linalg.vector_norm(was.output))
    own_part, inherited = _apart(own.output, said, size), _apart(said, was.output, size)
    if was.signal is None or own.signal is None or not _leaves(inputs):
        return Split(own_part, inherited)
    mid = _back(carried, inputs, own.signal)
    now = _back(*again(block, own.given, new), own.signal)
    first, inputs = again(block, was.given, old)
    told, shifted = _back(first, inputs, was.signal, keep=True), _back(first, inputs, own.signal)
    if told is None or mid is None or now is None or shifted is None:
        return Split(own_part, inherited)
    size = float(torch.linalg.vector_norm(told))
    return Split(own_part, inherited, _apart(now, mid, size), _apart(mid, shifted, size), _apart(shifted, told, size))


def _apart(a: torch.Tensor, b: torch.Tensor, size: float) -> float:
    return share(float(torch.linalg.vector_norm(a - b)), size)


def _back(output: torch.Tensor, inputs: Batch, signal: torch.Tensor, *, keep: bool = False) -> torch.Tensor | None:
    """J'd at the first input that takes a gradient."""
    if not output.requires_grad:
        return None
    return torch.autograd.grad(output, _leaves(inputs)[0], signal, retain_graph=keep, allow_unused=True)[0]


def _leaves(inputs: Batch) -> list[torch.Tensor]:
    return [t for t in tensors_in(inputs) if t.requires_grad]
