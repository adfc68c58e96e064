"""The first batches of the data, read by the worker processes of the user's loader where it has some."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from etastar.core.batch import Batch
from etastar.core.data import Batches, IndexedBatches
from etastar.core.randomness import derive_seed, isolated_randomness, reseeded, seed_everything

FORK = "fork"
"""The way to start workers that needs nothing of the user's pickled; where it is not the usual one they are not used."""


@dataclass(frozen=True)
class NumberedBatches(Dataset[Batch]):
    """Batch k of a pass, drawn from (seed, k) alone: the same in whatever process it is read."""

    batches: IndexedBatches
    order: list[torch.Tensor]
    seed: int

    def __getitem__(self, number: int) -> Batch:
        with isolated_randomness(), reseeded(self.batches.owned, self.seed, "owned", 0, number):
            seed_everything(derive_seed(self.seed, "batch", number))
            return self.batches.read(self.order[number])


def read_ahead(batches: Batches, seed: int, most: int) -> Generator[Batch]:
    """The first batches of the pass of `seed`, `most` at most.

    With a loader of several workers they read all of them at once, in the order they would have here; a batch that they
    cannot read is read here, where the user's own error says why.
    """
    if not isinstance(batches, IndexedBatches):
        with closing(batches.epoch(seed, 0)) as epoch:
            yield from itertools.islice(epoch, most)
        return
    own = NumberedBatches(batches, batches.order(seed, 0)[:most], seed)
    done = 0
    if batches.loader is not None and _may_use_workers(batches.loader):
        for batch in _by_workers(own, batches.loader):
            yield batch
            done += 1
    yield from (own[number] for number in range(done, len(own.order)))


def _may_use_workers(loader: DataLoader[Any]) -> bool:
    context = loader.multiprocessing_context
    method = multiprocessing.get_start_method() if context is None else context.get_start_method()
    return loader.num_workers > 0 and method == FORK and not multiprocessing.current_process().daemon


def _by_workers(own: NumberedBatches, loader: DataLoader[Any]) -> Iterator[Batch]:
    workers = DataLoader(
        own,
        batch_size=None,
        sampler=range(len(own.order)),
        collate_fn=_as_it_is,
        num_workers=min(loader.num_workers, len(own.order)),
        worker_init_fn=loader.worker_init_fn,
        timeout=loader.timeout,
        generator=torch.Generator(),
    )
    read = iter(workers)
    while True:
        try:
            batch = next(read)
        except Exception:  # also StopIteration; read on in this process
            return
        yield batch


def _as_it_is(batch: Batch) -> Batch:
    return batch
