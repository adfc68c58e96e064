"""Forward passes in the middle of a training that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from etastar.core.kept import unmoved


@contextmanager
def traceless(model: nn.Module, *judges: Any) -> Iterator[None]:
    """Buffers, modes and what the losses `judges` remember are as before afterwards; what is computed has its graph."""
    with unmoved(*judges) as kept, _spare_buffers(model, *kept.modules), _kept_modes(model):
        yield


@contextmanager
def twice_differentiable(model: nn.Module, *judges: Any) -> Iterator[None]:
    """`traceless`, with the one kernel of attention that has second derivatives."""
    with traceless(model, *judges), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def _spare_buffers(*modules: nn.Module) -> Iterator[None]:
    """Let a forward pass write to copies of the buffers.

    Putting values back into the buffers themselves, as `unchanged_buffers` does, would spoil the graph: autograd has saved
    the running statistics of BatchNorm and notices that they were written to.
    """
    copies: dict[int, torch.Tensor] = {}
    swapped: list[tuple[nn.Module, str, torch.Tensor]] = []
    for module in dict.fromkeys(part for whole in modules for part in whole.modules()):
        for name, buffer in module._buffers.items():
            if buffer is not None:
                swapped.append((module, name, buffer))
                module._buffers[name] = copies.setdefault(id(buffer), buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in swapped:
            module._buffers[name] = buffer


@contextmanager
def _kept_modes(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
