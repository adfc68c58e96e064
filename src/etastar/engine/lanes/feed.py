"""Batches for many lanes: every lane gets, at every step, exactly the batch the loop would give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import torch

from etastar.core.batch import Batch, is_finite, map_tensors, tensors_in
from etastar.core.data import Batches, IndexedBatches
from etastar.core.setup import to
from etastar.engine.reading import next_batch
from etastar.errors import DoesNotApply


class Feed:
    """The next batches of K lanes, stacked to [K, B, ...]; lanes of one seed share their reading.

    All lanes of a feed are at the same step, so a partial batch is partial for all of them and needs no mask.

    Args:
        batches: the training data.
        seeds: of the lanes, in their order.
        device, dtype: what the loop's `to` gets.
        start: optimizer step at which it begins, of `parts` batches each.

    Raises:
        DoesNotApply: the data's order cannot be followed for several seeds at once, or batches do not stack.
    """

    def __init__(
        self,
        batches: Batches,
        seeds: Sequence[int],
        device: torch.device | str,
        dtype: torch.dtype | None = None,
        start: int = 0,
        parts: int = 1,
    ) -> None:
        if not isinstance(batches, IndexedBatches):
            raise DoesNotApply("its DataLoader is iterated as it is, and can serve one lane at a time")
        self._seeds, self._device, self._dtype = list(seeds), device, dtype
        self._open = ExitStack()
        self._source: _Tensors | _Streams
        if batches.tensors is not None:
            self._source = _Tensors(batches, to(batches.tensors, device, dtype), start * parts)
        else:
            self._source = _Streams(batches, self._open, start * parts)

    def next(self, step: int, part: int = 0) -> Batch:
        """The batches of this step (and part of an accumulated step)."""
        return self._move(self._source.read(self._seeds, step, part))

    def take_odd(self) -> Iterator[tuple[int, Batch]]:
        """(step, batch) of those read since the last call that held NaN or inf; looked for only when they are asked for."""
        return self._source.take_odd()

    def take(self, index: Sequence[int]) -> None:
        """Only these lanes, in this order; a lane may be named twice."""
        self._seeds = [self._seeds[i] for i in index]
        if isinstance(self._source, _Tensors):
            self._source.take(index)

    def close(self) -> None:
        """End the streams."""
        self._open.close()

    def _move(self, batch: Batch) -> Batch:
        return batch if isinstance(self._source, _Tensors) else to(batch, self._device, self._dtype)


class _Tensors:
    """Data in memory: one gather serves all lanes."""

    def __init__(self, batches: IndexedBatches, data: Batch, number: int) -> None:
        self._batches, self._data = batches, data
        self._epoch, self._skip = divmod(number, batches.per_epoch or 1)
        self._left: list[torch.Tensor] = []
        """Sample indices [K, B] of every batch left in this epoch, the next one last."""
        self._read: list[tuple[int, torch.Tensor]] = []
        """(step, sample indices [K, B]) since somebody asked what was odd."""

    def read(self, seeds: list[int], step: int, part: int) -> Batch:
        """[K, B, ...]; reading goes on where the last call ended."""
        if not self._left:
            orders = {seed: self._batches.order(seed, self._epoch) for seed in dict.fromkeys(seeds)}
            batches = zip(*(orders[seed] for seed in seeds), strict=True)
            self._left = [torch.stack(same) for same in batches][self._skip :][::-1]
            self._epoch, self._skip = self._epoch + 1, 0
        rows = self._left.pop()
        self._read.append((step, rows))
        return self._gathered(rows)

    def take_odd(self) -> Iterator[tuple[int, Batch]]:
        """See `Feed`."""
        read, self._read = self._read, []
        return self._odd_among(read)

    def _odd_among(self, read: list[tuple[int, torch.Tensor]]) -> Iterator[tuple[int, Batch]]:
        if is_finite(self._data):
            return
        for step, rows in read:
            batches = (self._gathered(own) for own in rows.unique(dim=0))  # lanes of one seed share theirs
            yield from ((step, batch) for batch in batches if not is_finite(batch))

    def _gathered(self, rows: torch.Tensor) -> Batch:
        """The samples of these indices [...], of shape [..., *sample]."""
        flat = rows.flatten()
        return map_tensors(lambda t: t.index_select(0, flat.to(t.device)).unflatten(0, rows.shape), self._data)

    def take(self, index: Sequence[int]) -> None:
        """See `Feed`."""
        self._left = [rows[list(index)] for rows in self._left]


class _Streams:
    """Any other data: one stream per seed, read as the loop reads it, then stacked."""

    def __init__(self, batches: IndexedBatches, stack: ExitStack, number: int) -> None:
        self._batches, self._stack, self._number = batches, stack, number
        self._streams: dict[int, Any] = {}
        self._odd: list[tuple[int, Batch]] = []

    def read(self, seeds: list[int], step: int, part: int) -> Batch:
        """[K, B, ...]."""
        own: dict[int, Batch] = {}
        for seed in dict.fromkeys(seeds):
            if seed not in self._streams:
                self._streams[seed] = self._stack.enter_context(closing(self._batches.stream_from(seed, self._number)))
            batch = next_batch(self._streams[seed], seed, step, part)
            if not is_finite(batch):
                self._odd.append((step, batch))
            own[seed] = batch
        return _stacked([own[seed] for seed in seeds])

    def take_odd(self) -> Iterator[tuple[int, Batch]]:
        """See `Feed`."""
        odd, self._odd = self._odd, []
        return iter(odd)


def _stacked(batches: list[Batch]) -> Batch:
    """Batches of equal structure as one, with the lanes in front."""
    leaves = [tensors_in(batch) for batch in batches]
    if len({len(own) for own in leaves}) != 1:
        raise DoesNotApply("batches of different seeds have different structure")
    try:
        stacked = iter([torch.stack(same) for same in zip(*leaves, strict=True)])
    except RuntimeError:
        raise DoesNotApply("batches of different seeds have different shapes") from None
    return map_tensors(lambda _: next(stacked), batches[0])
