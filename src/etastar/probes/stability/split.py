"""Whether a block changed by its own weights, or because of what other blocks did."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from etastar.probes.stability.change import Split, share
from etastar.probes.stability.look import StabilityLook, shared
from etastar.probes.stability.passes import Pass, again

Weights = Mapping[str, torch.Tensor]


def splits(blocks: Mapping[str, nn.Module], before: StabilityLook, after: StabilityLook) -> dict[str, Split]:
    """name of a pass -> its split, for all that the looks share. A block is asked three times more.

    Call where nothing is left behind.
    """
    weights = lambda own: (before.weights[own.block], after.weights[own.block])
    pairs = [(was, own) for was, own in shared(before, after) if was.given is not None and own.given is not None]
    return {own.name: _split(blocks[own.block], was, own, *weights(own)) for was, own in pairs}


def _split(block: nn.Module, was: Pass, own: Pass, old: Weights, new: Weights) -> Split:
    assert was.given is not None and own.given is not None
    told = [signal for signal in (was.signal, own.signal) if signal is not None]
    carried, backs = again(block, own.given, old, told[1:])  # f(x, W_0), and its J'd
    size = float(torch.linalg.vector_norm(was.output))
    own_part, inherited = _apart(own.output, carried, size), _apart(carried, was.output, size)
    if len(told) < 2 or (mid := backs[0]) is None:
        return Split(own_part, inherited)
    _, (now,) = again(block, own.given, new, told[1:])
    _, (first, shifted) = again(block, was.given, old, told)
    if now is None or first is None or shifted is None:
        return Split(own_part, inherited)
    size = float(torch.linalg.vector_norm(first))
    return Split(own_part, inherited, _apart(now, mid, size), _apart(mid, shifted, size), _apart(shifted, first, size))


def _apart(a: torch.Tensor, b: torch.Tensor, size: float) -> float:
    return share(float(torch.linalg.vector_norm(a - b)), size)
