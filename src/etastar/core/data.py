"""Training data in the forms PyTorch users have it, as one thing: an endless, reproducible stream of batches per seed.

Tensors (alone, or nested in tuples, lists and dicts) are indexed; map-style datasets are indexed and collated; a
DataLoader is taken apart into dataset, batch size, order and collate function where that is exact, and iterated as it is
otherwise. Nothing the caller owns is advanced or reseeded for good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from etastar.core.randomness import derive_seed, generator, seed_everything
from etastar.errors import EtastarError, ProblemError, in_one_line

Batch = Any
DEFAULT_BATCH_SIZE = 64


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


class Batches(Protocol):
    """A source of training batches."""

    @property
    def batch_size(self) -> int | None:
        """Samples per batch, where it is known."""
        ...

    @property
    def per_epoch(self) -> int | None:
        """Batches per epoch, where it is known."""
        ...

    @property
    def size(self) -> int | None:
        """Number of samples, where it is known."""
        ...

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Iterator[Batch]:
        """The batches of one pass over the data, in the order of (seed, epoch)."""
        ...


def stream(batches: Batches, seed: int) -> Generator[Batch]:
    """Batches for ever, epoch after epoch, in the order of `seed`."""
    epoch = 0
    while True:
        empty = True
        for batch in batches.epoch(seed, epoch):
            empty = False
            yield batch
        if empty:
            raise ProblemError(
                f"the training data gave no batch in epoch {epoch}; expected a source that can be iterated again; "
                "pass a Dataset, tensors or a re-iterable DataLoader"
            )
        epoch += 1


class IndexedBatches:
    """Batches from anything with a length that can be read at a list of indices; the last partial batch is dropped.

    `tensors` is the data itself where reading means indexing tensors, so that many lanes can be read at once.
    """

    def __init__(
        self,
        read: Callable[[list[int] | torch.Tensor], Batch],
        size: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = True,
        tensors: Batch | None = None,
    ) -> None:
        if batch_size < 1:
            raise ProblemError(f"batch_size is {batch_size}; expected at least 1")
        if size < 1:
            raise ProblemError("the data is empty; expected at least one sample")
        if batch_size > size and drop_last:
            raise ProblemError(f"batch_size is {batch_size} but the data has {size} samples; pass batch_size <= {size}")
        self._read, self.size, self.batch_size = read, size, batch_size
        self._shuffle, self._drop_last, self.tensors = shuffle, drop_last, tensors
        self.per_epoch: int | None = size // batch_size if drop_last else -(-size // batch_size)

    def order(self, seed: int, epoch: int, *, shuffle: bool = True) -> list[torch.Tensor]:
        """The sample indices of every batch of one pass; they come from a generator of (seed, epoch) alone."""
        if shuffle and self._shuffle:
            order = torch.randperm(self.size, generator=generator(seed, "epoch", epoch))
        else:
            order = torch.arange(self.size)
        batches = list(order.split(self.batch_size))
        return batches[:-1] if self._drop_last and len(batches[-1]) < self.batch_size else batches

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Iterator[Batch]:
        """One pass over the data in that order."""
        for index in self.order(seed, epoch, shuffle=shuffle):
            yield self._read(index)


class LoaderBatches:
    """Batches from iterating a DataLoader whose order we cannot rebuild (custom samplers, iterable datasets).

    Its generators are seeded for the epoch and put back afterwards; its workers are not used.
    """

    size: int | None = None

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self.batch_size = loader.batch_size
        try:
            self.per_epoch: int | None = len(loader)
        except TypeError:
            self.per_epoch = None

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Iterator[Batch]:
        """One pass over the loader under the random state of (seed, epoch)."""
        loader = self._loader
        arguments: dict[str, Any] = {"collate_fn": loader.collate_fn, "generator": loader.generator}
        if isinstance(loader.dataset, IterableDataset):
            arguments |= {"batch_size": loader.batch_size, "drop_last": loader.drop_last}
        elif loader.batch_sampler is not None:
            arguments |= {"batch_sampler": loader.batch_sampler}
        else:
            arguments |= {"batch_size": None, "sampler": loader.sampler}
        with self._seeded_generators(derive_seed(seed, "epoch", epoch)), _without_workers(loader):
            yield from DataLoader(loader.dataset, **arguments)

    @contextmanager
    def _seeded_generators(self, seed: int) -> Iterator[None]:
        owners = (self._loader, self._loader.sampler, self._loader.batch_sampler, self._loader.dataset)
        generators = {id(g): g for o in owners if isinstance(g := getattr(o, "generator", None), torch.Generator)}
        states = {key: g.get_state() for key, g in generators.items()}
        for g in generators.values():
            g.manual_seed(seed)
        seed_everything(seed)
        try:
            yield
        finally:
            for key, g in generators.items():
                g.set_state(states[key])


@contextmanager
def _without_workers(loader: DataLoader[Any]) -> Iterator[None]:
    """Say that a loader's worker processes are not used, where its data cannot be read without them."""
    try:
        yield
    except EtastarError:
        raise
    except Exception as error:
        if loader.num_workers == 0:
            raise
        raise ProblemError(
            f"reading a batch raised {in_one_line(error)}; the loader has num_workers={loader.num_workers}, but its data is "
            "read in this process, where get_worker_info() is None and worker_init_fn is not called: allow for that, and "
            "open files where they are read"
        ) from error


def make_batches(data: Any, batch_size: int | None, *, argument: str = "train") -> Batches:
    """The `Batches` of whatever the user passed as `train` or `valid`.

    Raises:
        ProblemError: the data is of no known kind, empty, not finite, of unequal lengths, smaller than a batch, or a
            DataLoader with a batch size beside it.
    """
    if isinstance(data, DataLoader):
        if batch_size is not None:
            raise ProblemError(
                f"batch_size={batch_size} was given beside a DataLoader for {argument}; the loader keeps its own: drop one"
            )
        return _from_loader(data)
    if isinstance(data, TensorDataset):
        data = tuple(data.tensors)
    if is_tensor_tree(data):
        return _from_tensors(data, batch_size, argument)
    if isinstance(data, IterableDataset):
        raise ProblemError(f"{argument} is an IterableDataset; wrap it in a DataLoader, which says the batch size")
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        size = _length(data, argument)
        read = lambda index: default_collate([data[int(i)] for i in index])
        return IndexedBatches(read, size, _batch_size(batch_size, size))
    raise ProblemError(
        f"{argument} is a {type(data).__name__}; expected tensors, a Dataset or a DataLoader, "
        f"e.g. {argument}=(inputs, targets)"
    )


def _batch_size(batch_size: int | None, size: int) -> int:
    return min(DEFAULT_BATCH_SIZE, max(size, 1)) if batch_size is None else batch_size


def _length(data: Any, argument: str) -> int:
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        raise ProblemError(f"{argument} has no length; expected a map-style Dataset (or a DataLoader)") from None


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


def _from_tensors(data: Any, batch_size: int | None, argument: str) -> IndexedBatches:
    tensors = tensors_in(data)
    if any(t.dim() == 0 for t in tensors) or len({len(t) for t in tensors}) != 1:
        shapes = [tuple(t.shape) for t in tensors]
        raise ProblemError(f"{argument} holds tensors of shapes {shapes}; expected the same first dimension, the samples")
    check_finite(data, argument)
    size = len(tensors[0])
    read = lambda index: map_tensors(lambda t: t[index], data)
    return IndexedBatches(read, size, _batch_size(batch_size, size), tensors=data)


def check_finite(batch: Batch, where: str) -> None:
    """Raise `ProblemError` if a floating-point tensor in `batch` holds NaN or inf."""
    for tensor in tensors_in(batch):
        if tensor.is_floating_point() and not _is_finite(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ProblemError(
                f"{where} holds NaN or infinite numbers ({bad} in a tensor of shape {tuple(tensor.shape)}); "
                "expected finite data: clean or impute it first"
            )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether all numbers are finite; a finite sum says so at once."""
    return math.isfinite(float(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _from_loader(loader: DataLoader[Any]) -> Batches:
    """Take a loader apart when its order is plainly shuffled or plainly sequential; else iterate it."""
    plain = (
        type(loader.batch_sampler) is BatchSampler
        and loader.batch_size is not None
        and not isinstance(loader.dataset, IterableDataset)
    )
    sampler = loader.sampler
    shuffled = type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler)
    shuffled = shuffled and sampler.num_samples == _length(loader.dataset, "the loader's dataset")  # type: ignore[union-attr]
    if not plain or not (shuffled or type(sampler) is SequentialSampler):
        return LoaderBatches(loader)
    dataset, collate, tensors = loader.dataset, loader.collate_fn, None
    if isinstance(dataset, TensorDataset) and collate is default_collate:
        tensors = list(dataset.tensors)
        check_finite(tensors, "train")
        read = lambda index: [t[index] for t in tensors]
    else:

        def read(index: Sequence[int] | torch.Tensor) -> Batch:
            with _without_workers(loader):
                return collate([dataset[int(i)] for i in index])

    assert loader.batch_size is not None
    return IndexedBatches(
        read,
        _length(dataset, "the loader's dataset"),
        loader.batch_size,
        shuffle=shuffled,
        drop_last=loader.drop_last,
        tensors=tensors,
    )
