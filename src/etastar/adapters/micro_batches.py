"""The micro-batches of a trainer: each with what it weighs within its optimizer step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler


class MicroBatch(NamedTuple):
    """A batch of a step that has several.

    Args:
        inputs: of the model.
        items: labels that count in the whole step; None where they are not counted.
        weight: of its loss in the mean over the step's micro-batches; 0 for one that fills up the last step of an epoch.
    """

    inputs: Any
    items: Any
    weight: float


class MicroBatches(IterableDataset[MicroBatch]):
    """A loader's batches, those of one optimizer step after each other.

    The last step of an epoch may have fewer; it is filled up with its first one at weight 0.

    Args:
        weigh: (batches of a step) -> (`items`, `weight` of each in the mean over `accumulate`).

    >>> loader = DataLoader([0, 1, 2], batch_size=1)
    >>> [(int(b.inputs), b.weight) for b in MicroBatches(loader, 2, lambda batches: (None, 2 / len(batches)))]
    [(0, 1.0), (1, 1.0), (2, 2.0), (2, 0.0)]
    """

    def __init__(self, loader: DataLoader[Any], accumulate: int, weigh: Callable[[list[Any]], tuple[Any, float]]) -> None:
        self._loader, self._accumulate, self._weigh = loader, accumulate, weigh

    def __iter__(self) -> Iterator[MicroBatch]:
        batches = iter(self._loader)
        while step := list(itertools.islice(batches, self._accumulate)):
            items, weight = self._weigh(step)
            yield from (MicroBatch(inputs, items, weight) for inputs in step)
            yield from itertools.repeat(MicroBatch(step[0], items, 0.0), self._accumulate - len(step))

    def __len__(self) -> int:
        return -(-len(self._loader) // self._accumulate) * self._accumulate

    def loader(self) -> DataLoader[MicroBatch]:
        """A loader of them."""
        return DataLoader(self, batch_size=None, collate_fn=as_it_is)


def as_it_is(batch: Any) -> Any:
    """What a loader does with batches that are made already."""
    return batch


def taken_apart(loader: DataLoader[Any]) -> DataLoader[Any]:
    """A plain loader of the same batches, where Accelerate has wrapped one.

    Its order is drawn anew for every seed of a lane; workers are not used.
    """
    own = loader.batch_sampler
    if type(own) is not BatchSampler:
        return loader
    sampler = RandomSampler(loader.dataset) if isinstance(own.sampler, RandomSampler) else own.sampler  # type: ignore[arg-type]
    return DataLoader(loader.dataset, own.batch_size, sampler=sampler, drop_last=own.drop_last, collate_fn=loader.collate_fn)
