"""Training data in the forms PyTorch users have it, as batches.

Tensors (alone, or nested in tuples, lists and dicts) are indexed; map-style datasets are indexed and collated; for a
DataLoader see `loaders`.
"""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from etastar.core.batch import is_tensor_tree, map_tensors, tensors_in
from etastar.core.data import READING, Batches, IndexedBatches, length_of
from etastar.core.kept import generators_in
from etastar.core.loaders import from_loader
from etastar.core.not_data import no_data
from etastar.errors import ProblemError

DEFAULT_BATCH_SIZE = 64


def make_batches(data: Any, batch_size: int | None, *, argument: str = "train", drop_last: bool = True) -> Batches:
    """The `Batches` of whatever the user passed as `train` or `valid`; a DataLoader says itself whether it drops the last.

    Raises:
        ProblemError: the data is of no known kind, empty, of unequal lengths, smaller than a batch, or a
            DataLoader with a batch size beside it.
    """
    if isinstance(data, DataLoader):
        if batch_size is not None:
            raise ProblemError(
                f"batch_size={batch_size} was given beside a DataLoader for {argument}; the loader keeps its own: drop one"
            )
        return from_loader(data, READING[argument])
    if isinstance(data, TensorDataset):
        data = tuple(data.tensors)
    if is_tensor_tree(data):
        return _from_tensors(data, batch_size, argument, drop_last)
    if advice := no_data(data):
        raise ProblemError(f"{argument} {advice}")
    if isinstance(data, IterableDataset):
        raise ProblemError(f"{argument} is an IterableDataset; wrap it in a DataLoader, which says the batch size")
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        size = length_of(data, argument)
        read = lambda index: default_collate([data[int(i)] for i in index])
        owned = generators_in(data)
        what = READING[argument]
        return IndexedBatches(read, size, _batch_size(batch_size, size), drop_last=drop_last, what=what, owned=owned)
    raise ProblemError(
        f"{argument} is a {type(data).__name__}; expected tensors, a Dataset or a DataLoader, "
        f"e.g. {argument}=(inputs, targets)"
    )


def _batch_size(batch_size: int | None, size: int) -> int:
    return min(DEFAULT_BATCH_SIZE, max(size, 1)) if batch_size is None else batch_size


def _from_tensors(data: Any, batch_size: int | None, argument: str, drop_last: bool) -> IndexedBatches:
    tensors = tensors_in(data)
    if any(t.dim() == 0 for t in tensors) or len({len(t) for t in tensors}) != 1:
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors[:4]) + (" ..." if len(tensors) > 4 else "")
        raise ProblemError(f"{argument} holds tensors of shapes {shapes}; expected the same first dimension, the samples")
    size = len(tensors[0])
    read = lambda index: map_tensors(lambda t: t[index], data)
    return IndexedBatches(read, size, _batch_size(batch_size, size), drop_last=drop_last, tensors=data)
