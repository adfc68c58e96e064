"""Training data in the forms PyTorch users have it, as one thing: an endless, reproducible stream of batches per seed.

Tensors (alone, or nested in tuples, lists and dicts) are indexed; map-style datasets are indexed and collated; a
DataLoader is taken apart into dataset, batch size, order and collate function where that is exact, and iterated as it is
otherwise. Nothing the caller owns is advanced or reseeded for good.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
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

from etastar.core.kept import generators_in
from etastar.core.not_data import no_data
from etastar.core.randomness import derive_seed, generator, reseeded, seed_everything
from etastar.errors import ProblemError, UserCodeRaised, call

Batch = Any
DEFAULT_BATCH_SIZE = 64
READING = {"train": "reading a training batch", "valid": "reading a validation batch"}
"""What a user's data is called by what it raises."""


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

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Generator[Batch]:
        """The batches of one pass over the data, in the order of (seed, epoch)."""
        ...

    def some(self, most: int) -> Generator[tuple[Batch, int]]:
        """(batch, samples in it): every sample once, or about `most` of them, always the same ones."""
        ...

    def holds_more_than(self, most: int) -> bool:
        """Whether `some(most)` leaves samples out."""
        ...


def stream(batches: Batches, seed: int) -> Generator[Batch]:
    """Batches for ever, epoch after epoch, in the order of `seed`."""
    for epoch in itertools.count():
        yield from batches.epoch(seed, epoch)


class IndexedBatches:
    """Batches from anything with a length that can be read at a list of indices; the last partial batch is dropped.

    `tensors` is the data itself where reading means indexing tensors, so that many lanes can be read at once. `owned` are
    random generators of the dataset's own: every batch draws from (seed, epoch, batch) alone.
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
        what: str = READING["train"],
        owned: Sequence[Any] = (),
    ) -> None:
        if batch_size < 1:
            raise ProblemError(f"batch_size is {batch_size}; expected at least 1")
        if size < 1:
            raise ProblemError("the data is empty; expected at least one sample")
        if batch_size > size and drop_last:
            raise ProblemError(f"batch_size is {batch_size} but the data has {size} samples; pass batch_size <= {size}")
        self._read, self.size, self.batch_size, self._what, self._owned = read, size, batch_size, what, owned
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

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Generator[Batch]:
        """One pass over the data in that order."""
        for number, index in enumerate(self.order(seed, epoch, shuffle=shuffle)):
            with reseeded(self._owned, seed, "owned", epoch, number):
                batch = self.read(index)
            yield batch

    def read(self, index: torch.Tensor) -> Batch:
        """The batch of these samples."""
        return call(self._what, self._read, index)

    def some(self, most: int) -> Generator[tuple[Batch, int]]:
        """In order, in batches of nearly equal size (batch statistics of one last sample say nothing).

        Where there are more samples than `most`, a subset drawn once: smaller ones lie within larger ones.
        """
        index = torch.cat(self.order(0, 0, shuffle=False))
        if self.holds_more_than(most):
            index = torch.randperm(self.size, generator=generator("part of the data"))[:most].sort().values
        for number, part in enumerate(index.tensor_split(-(-len(index) // self.batch_size))):
            with reseeded(self._owned, 0, "owned", 0, number):
                batch = self.read(part)
            yield batch, len(part)

    def holds_more_than(self, most: int) -> bool:
        """Whether there are more samples."""
        return self.size > most


class LoaderBatches:
    """Batches from iterating a DataLoader whose order we cannot rebuild (custom samplers, iterable datasets).

    Its generators are seeded for the epoch and put back afterwards; its workers are not used.
    """

    size: int | None = None

    def __init__(self, loader: DataLoader[Any], what: str = READING["train"]) -> None:
        self._loader, self._what = loader, what
        self.batch_size = loader.batch_size
        try:
            self.per_epoch: int | None = len(loader)
        except TypeError:
            self.per_epoch = None

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True) -> Generator[Batch]:
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
            batches = call("iterating the DataLoader", iter, DataLoader(loader.dataset, **arguments))
            end, empty = object(), True
            while (batch := call(self._what, next, batches, end)) is not end:
                empty = False
                yield batch
            if empty:
                raise ProblemError(
                    f"the DataLoader gave no batch in epoch {epoch}; expected a source that can be iterated again and "
                    "again, not an iterator that is used up: return a new one from __iter__, or pass a Dataset or tensors"
                )

    def some(self, most: int) -> Generator[tuple[Batch, int]]:
        """Its first batches, with `most` samples or more."""
        seen = 0
        with closing(self.epoch(0, 0, shuffle=False)) as batches:
            for batch in batches:
                size = samples_in(batch) or self.batch_size or 1
                seen += size
                yield batch, size
                if seen >= most:
                    return

    def holds_more_than(self, most: int) -> bool:
        """Whether it has further batches after `most` samples; counted where it does not say how long it is."""
        if self.per_epoch is not None and self.batch_size is not None:
            return (self.per_epoch - 1) * self.batch_size >= most
        seen = 0
        with closing(self.epoch(0, 0, shuffle=False)) as batches:
            for batch in batches:
                if seen >= most:
                    return True
                seen += samples_in(batch) or self.batch_size or 1
        return False

    @contextmanager
    def _seeded_generators(self, seed: int) -> Iterator[None]:
        loader = self._loader
        owners = (loader, loader.sampler, loader.batch_sampler, loader.dataset)
        given = [g for o in owners if isinstance(g := getattr(o, "generator", None), torch.Generator)]
        found = given + generators_in(loader.dataset, loader.sampler, loader.batch_sampler, loader.collate_fn)
        with reseeded(list({id(g): g for g in found}.values()), seed):
            seed_everything(seed)
            yield


@contextmanager
def _without_workers(loader: DataLoader[Any]) -> Iterator[None]:
    """Say that a loader's worker processes are not used, where its data cannot be read without them."""
    try:
        yield
    except UserCodeRaised as error:
        if loader.num_workers == 0:
            raise
        raise UserCodeRaised(
            f"{error}; the loader has num_workers={loader.num_workers}, but its data is read in this process, where "
            "get_worker_info() is None and worker_init_fn is not called: allow for that, and open files where they are read"
        ) from (error.__cause__ or error)


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
        return _from_loader(data, READING[argument])
    if isinstance(data, TensorDataset):
        data = tuple(data.tensors)
    if is_tensor_tree(data):
        return _from_tensors(data, batch_size, argument, drop_last)
    if advice := no_data(data):
        raise ProblemError(f"{argument} {advice}")
    if isinstance(data, IterableDataset):
        raise ProblemError(f"{argument} is an IterableDataset; wrap it in a DataLoader, which says the batch size")
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        size = _length(data, argument)
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


def _from_tensors(data: Any, batch_size: int | None, argument: str, drop_last: bool) -> IndexedBatches:
    tensors = tensors_in(data)
    if any(t.dim() == 0 for t in tensors) or len({len(t) for t in tensors}) != 1:
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors[:4]) + (" ..." if len(tensors) > 4 else "")
        raise ProblemError(f"{argument} holds tensors of shapes {shapes}; expected the same first dimension, the samples")
    size = len(tensors[0])
    read = lambda index: map_tensors(lambda t: t[index], data)
    return IndexedBatches(read, size, _batch_size(batch_size, size), drop_last=drop_last, tensors=data)


def check_finite(batch: Batch, where: str) -> None:
    """Raise `ProblemError` if a floating-point tensor in `batch` holds NaN or inf."""
    for tensor in tensors_in(batch):
        if not is_finite(tensor):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ProblemError(
                f"{where} holds NaN or infinite numbers ({bad} in a tensor of shape {tuple(tensor.shape)}); "
                "expected finite data: clean or impute it first"
            )


def is_finite(batch: Batch) -> bool:
    """Whether all floating-point numbers in `batch` are finite; a finite sum says so at once."""
    tensors = [t.detach() for t in tensors_in(batch) if t.is_floating_point()]
    return all(math.isfinite(float(t.sum())) or bool(torch.isfinite(t).all()) for t in tensors)


def _from_loader(loader: DataLoader[Any], what: str) -> Batches:
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
        return LoaderBatches(loader, what)
    dataset, collate, tensors = loader.dataset, loader.collate_fn, None
    if isinstance(dataset, TensorDataset) and collate is default_collate:
        tensors = list(dataset.tensors)
        read = lambda index: [t[index] for t in tensors]
    else:

        def read(index: Sequence[int] | torch.Tensor) -> Batch:
            with _without_workers(loader):
                return call(what, lambda: collate([dataset[int(i)] for i in index]))

    assert loader.batch_size is not None
    return IndexedBatches(
        read,
        _length(dataset, "the loader's dataset"),
        loader.batch_size,
        shuffle=shuffled,
        drop_last=loader.drop_last,
        tensors=tensors,
        what=what,
        owned=() if tensors is not None else generators_in(dataset, collate),
    )
