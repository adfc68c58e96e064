"""Whether a loss is the mean or the sum over the samples of its batch: said by torch's own losses, else read off parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

MEAN, SUM, OTHER = "mean", "sum", "other"
WITHIN = 0.1
"""Of the whole loss: by how much its parts may miss it, as batch normalisation makes them do."""


def declared_reduction(loss: Any) -> str | None:
    """What a loss says of itself, as torch's do; None for any other.

    >>> declared_reduction(nn.MSELoss(reduction="sum")), declared_reduction(partial(nn.functional.mse_loss, reduction="sum"))
    ('sum', 'sum')
    >>> declared_reduction(nn.functional.cross_entropy), declared_reduction(lambda outputs, targets: outputs.sum())
    ('mean', None)
    """
    if isinstance(loss, partial):
        return _named(loss.keywords["reduction"]) if "reduction" in loss.keywords else declared_reduction(loss.func)
    if isinstance(loss, nn.modules.loss._Loss):
        return _named(loss.reduction) if type(loss).__module__.startswith("torch.") else None
    known = getattr(loss, "__module__", "") == "torch.nn.functional" and hasattr(nn.functional, loss.__name__)
    return MEAN if known else None


def reduction_of(whole: float, parts: Sequence[tuple[float, int]]) -> str:
    """ "mean" or "sum", whichever comes closer, of the losses of parts (loss, samples); "other" where neither is close.

    >>> [reduction_of(whole, [(2.0, 1), (3.5, 2)]) for whole in (3.0, 5.5, 9.0)]
    ['mean', 'sum', 'other']
    """
    mean = sum(loss * size for loss, size in parts) / sum(size for _, size in parts)
    errors = {MEAN: abs(whole - mean), SUM: abs(whole - sum(loss for loss, _ in parts))}
    best = min(errors, key=lambda kind: errors[kind])
    return best if errors[best] <= WITHIN * abs(whole) else OTHER


def _named(reduction: str) -> str:
    return reduction if reduction in (MEAN, SUM) else OTHER
