"""Training data as one thing: an endless, reproducible stream of batches per seed. Nothing the caller owns is advanced."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import torch

from etastar.core.batch import Batch
from etastar.core.randomness import generator, reseeded
from etastar.errors import ProblemError, call

READING = {
    "train": "reading a training batch",
    "valid": "reading a validation batch",
    "watch": "reading a batch of watch",
}
"""What a user's data is called by what it raises."""


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


def stream_from(batches: Batches, seed: int, number: int) -> Generator[Batch] | None:
    """The same from batch `number` on, where those before it need not be read; None where they do."""
    if number == 0:
        return stream(batches, seed)
    return batches.stream_from(seed, number) if isinstance(batches, IndexedBatches) else None


class IndexedBatches:
    """Batches from anything with a length that can be read at a list of indices; the last partial batch is dropped.

    `tensors` is the data itself where reading means indexing tensors, so that many lanes can be read at once. `owned` are
    random generators of the dataset's own: every batch draws from (seed, epoch, batch) alone. `loader` is the DataLoader
    that reading asks its dataset of, whose workers may read ahead.
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
        loader: Any = None,
    ) -> None:
        if batch_size < 1:
            raise ProblemError(f"batch_size is {batch_size}; expected at least 1")
        if size < 1:
            raise ProblemError("the data is empty; expected at least one sample")
        if batch_size > size and drop_last:
            raise ProblemError(f"batch_size is {batch_size} but the data has {size} samples; pass batch_size <= {size}")
        self._read, self.size, self.batch_size, self._what, self.owned = read, size, batch_size, what, owned
        self.loader = loader
        self.shuffled, self._drop_last, self.tensors = shuffle, drop_last, tensors
        self.per_epoch: int | None = size // batch_size if drop_last else -(-size // batch_size)

    def order(self, seed: int, epoch: int, *, shuffle: bool = True) -> list[torch.Tensor]:
        """The sample indices of every batch of one pass; they come from a generator of (seed, epoch) alone."""
        if shuffle and self.shuffled:
            order = torch.randperm(self.size, generator=generator(seed, "epoch", epoch))
        else:
            order = torch.arange(self.size)
        batches = list(order.split(self.batch_size))
        return batches[:-1] if self._drop_last and len(batches[-1]) < self.batch_size else batches

    def epoch(self, seed: int, epoch: int, *, shuffle: bool = True, first: int = 0) -> Generator[Batch]:
        """One pass over the data in that order, from batch `first` on."""
        for number, index in enumerate(self.order(seed, epoch, shuffle=shuffle)[first:], first):
            with reseeded(self.owned, seed, "owned", epoch, number):
                batch = self.read(index)
            yield batch

    def stream_from(self, seed: int, number: int) -> Generator[Batch]:
        """See `stream_from`: what a batch is depends on its place alone."""
        epoch, first = divmod(number, self.per_epoch or 1)
        yield from self.epoch(seed, epoch, first=first)
        for later in itertools.count(epoch + 1):
            yield from self.epoch(seed, later)

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
            with reseeded(self.owned, 0, "owned", 0, number):
                batch = self.read(part)
            yield batch, len(part)

    def holds_more_than(self, most: int) -> bool:
        """Whether there are more samples."""
        return self.size > most


def length_of(data: Any, argument: str) -> int:
    """Its samples.

    Raises:
        ProblemError: it does not say.
    """
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        raise ProblemError(f"{argument} has no length; expected a map-style Dataset (or a DataLoader)") from None
