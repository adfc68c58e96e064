"""A DataLoader as batches: taken apart into dataset, batch size, order and collate function where that is exact, and
iterated as it is otherwise. It is not reseeded for good, and its worker processes are used by `read_ahead` only.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from etastar.core.batch import Batch, samples_in
from etastar.core.data import READING, Batches, IndexedBatches, length_of
from etastar.core.kept import generators_in
from etastar.core.randomness import derive_seed, reseeded, seed_everything
from etastar.errors import ProblemError, UserCodeRaised, call


def from_loader(loader: DataLoader[Any], what: str) -> Batches:
    """Take a loader apart when its order is plainly shuffled or plainly sequential; else iterate it."""
    plain = (
        type(loader.batch_sampler) is BatchSampler
        and loader.batch_size is not None
        and not isinstance(loader.dataset, IterableDataset)
    )
    sampler = loader.sampler
    shuffled = type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler)
    shuffled = shuffled and sampler.num_samples == length_of(loader.dataset, "the loader's dataset")  # type: ignore[union-attr]
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
        length_of(dataset, "the loader's dataset"),
        loader.batch_size,
        shuffle=shuffled,
        drop_last=loader.drop_last,
        tensors=tensors,
        what=what,
        owned=() if tensors is not None else generators_in(dataset, collate),
        loader=None if tensors is not None else loader,
    )


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
