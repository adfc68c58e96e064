"""One batch: tensors, alone or nested in tuples, lists and dicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

Batch = Any


def map_tensors(fn: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> Batch:
    """`fn` on every tensor of a nested batch; other leaves are kept."""
    if isinstance(batch, torch.Tensor):
        return fn(batch)
    if isinstance(batch, Mapping):
        mapped = {key: map_tensors(fn, value) for key, value in batch.items()}
        return mapped if type(batch) is dict else _rebuild_mapping(batch, mapped)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(map_tensors(fn, value) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map_tensors(fn, value) for value in batch)
    return batch


def _rebuild_mapping(original: Mapping[Any, Any], mapped: dict[Any, Any]) -> Any:
    try:
        return type(original)(mapped)  # type: ignore[call-arg]
    except TypeError:
        return mapped


def tensors_in(batch: Batch) -> list[torch.Tensor]:
    """Every tensor of a nested batch, in order."""
    found: list[torch.Tensor] = []
    map_tensors(lambda t: (found.append(t), t)[1], batch)
    return found


def samples_in(batch: Batch) -> int | None:
    """Samples of a batch: the first dimension its tensors share; None where they share none.

    >>> samples_in((torch.zeros(5, 2), torch.zeros(5))), samples_in({"x": torch.zeros(5), "y": torch.zeros(6)})
    (5, None)
    """
    sizes = {len(t) for t in tensors_in(batch) if t.dim() > 0}
    return sizes.pop() if len(sizes) == 1 else None


def is_tensor_tree(data: Any) -> bool:
    """Whether `data` is a tensor, or tuples, lists and dicts of nothing but tensors; a list of tuples is a dataset."""
    if isinstance(data, torch.Tensor):
        return True
    if isinstance(data, Mapping):
        return len(data) > 0 and all(is_tensor_tree(value) for value in data.values())
    if isinstance(data, list) and data and not isinstance(data[0], torch.Tensor):
        return False
    if isinstance(data, (tuple, list)):
        return len(data) > 0 and all(is_tensor_tree(value) for value in data)
    return False


def is_finite(batch: Batch) -> bool:
    """Whether all floating-point numbers in `batch` are finite; a finite sum says so at once."""
    tensors = [t.detach() for t in tensors_in(batch) if t.is_floating_point()]
    return all(math.isfinite(float(t.sum())) or bool(torch.isfinite(t).all()) for t in tensors)
