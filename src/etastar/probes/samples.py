"""Samples for a probe: training batches joined into one, and cut into chunks again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import torch

from etastar.core.batch import Batch, map_tensors, tensors_in
from etastar.core.data import Batches
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import ProblemError, call


def draw(batches: Batches, seed: int, samples: int) -> Batch:
    """The first training batches of `seed`, joined until there are `samples` samples or the epoch ends, then cut to that.

    Batches that cannot be joined (ragged, or of things that are not tensors) give one batch as it is.

    Raises:
        ProblemError: the data gives no batch.
    """
    taken: list[Batch] = []
    count = 0
    with closing(batches.epoch(seed, 0)) as epoch:
        while count < samples:
            seed_everything(derive_seed(seed, "batch", len(taken), 0))
            batch = call("reading a training batch", next, epoch, None)
            if batch is None:
                break
            taken.append(batch)
            count += length(batch) or samples
    if not taken:
        raise ProblemError("the training data gave no batch; expected at least one")
    joined = _join(taken) if len(taken) > 1 else taken[0]
    if joined is None:
        return taken[0]
    return joined if (length(joined) or 0) <= samples else cut(joined, 0, samples)


def length(batch: Batch) -> int | None:
    """Samples of a batch whose tensors agree on their first dimension; None where they do not."""
    sizes = {len(t) if t.dim() else None for t in tensors_in(batch)}
    return sizes.pop() if len(sizes) == 1 and _only_tensors(batch) else None


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """The samples from `start` to `stop`."""
    return map_tensors(lambda t: t[start:stop], batch)


def chunks(batch: Batch, count: int) -> list[Batch] | None:
    """`count` equal parts of at least 2 samples, a remainder dropped; None where the batch cannot be cut so."""
    size = length(batch)
    if size is None or size < 2 * count:
        return None
    step = size // count
    return [cut(batch, i * step, (i + 1) * step) for i in range(count)]


def _join(parts: Sequence[Batch]) -> Batch | None:
    """Batches one after the other; None where they are not tensors of the same kinds and sizes."""
    if any(length(part) is None for part in parts):
        return None
    columns = [list(column) for column in zip(*map(tensors_in, parts), strict=False)]
    same = len({len(tensors_in(part)) for part in parts}) == 1
    if not same or any(len({(t.shape[1:], t.dtype) for t in column}) > 1 for column in columns):
        return None
    joined = iter([torch.cat(column) for column in columns])
    return map_tensors(lambda _: next(joined), parts[0])


def _only_tensors(batch: Batch) -> bool:
    """Whether the leaves are tensors (or None): names, ids and the like cannot be cut along with them."""
    if isinstance(batch, Mapping):
        return all(_only_tensors(value) for value in batch.values())
    if isinstance(batch, (tuple, list)):
        return all(_only_tensors(value) for value in batch)
    return batch is None or isinstance(batch, torch.Tensor)
