"""Gradients as a plain loop has them: dense, or sparse (embeddings), which count as much."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def gradient_values(parameters: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """The numbers of every gradient; of a sparse one those it holds, each place once: all others are zero.

    >>> p = torch.nn.Embedding(4, 2, sparse=True)
    >>> p(torch.tensor([1, 1])).sum().backward()
    >>> gradient_values(p.parameters())
    [tensor([[2., 2.]])]
    """
    return [_values(p) for p in parameters if p.grad is not None]


def clip(parameters: list[torch.Tensor], max_norm: float) -> torch.Tensor:
    """g *= min(1, max_norm / (|g| + 1e-6)) for the gradient of all parameters together; returns |g| as it was.

    It is `torch.nn.utils.clip_grad_norm_`, which takes no sparse gradients.
    """
    if not any(p.grad is not None and p.grad.is_sparse for p in parameters):
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    values = gradient_values(parameters)
    norm = torch.nn.utils.get_total_norm(values)
    for value in values:
        value.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0).to(value.device))
    return norm


def flat_gradient(parameters: Iterable[torch.Tensor]) -> torch.Tensor:
    """All gradients as one vector; a parameter without one counts as zeros, a sparse one is made dense."""
    zeros = lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    return torch.cat([zeros(p).to_dense().reshape(-1) for p in parameters])


def flat_parameters(parameters: Iterable[torch.Tensor]) -> torch.Tensor:
    """All parameters as one vector."""
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def _values(p: torch.Tensor) -> torch.Tensor:
    assert p.grad is not None
    if not p.grad.is_sparse:
        return p.grad
    p.grad = p.grad.coalesce()  # before its places are counted: one that was hit twice is held twice
    return p.grad.values()
