"""How a loss is reduced over samples: the same network differs five- to eightfold in sharpness between conventions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from etastar.core.batch import Batch
from etastar.core.objective import split
from etastar.core.reduction import MEAN, OTHER, SUM, reduction_of
from etastar.probes.point import Point
from etastar.probes.samples import chunks, cut, length

MOST_PARTS = 4
"""Forward passes spent on finding out how a loss is reduced where the outputs of all samples cannot be cut."""


@dataclass(frozen=True)
class PerBatch:
    """The loss that is trained on, of more samples than a batch: so that a curvature is that of the batches trained on.

    A sum over n samples is multiplied by size / n. A loss that sees the whole batch (contrastive, say) is the mean over
    parts of `size`; what is left over is dropped.

    Args:
        own: the user's loss, (outputs, targets) or (model, batch) -> scalar.
        size: samples of the batches that are trained on.
        kind: "sum" or "other".
    """

    own: Callable[[Any, Any], torch.Tensor]
    size: int
    kind: str

    @property
    def __name__(self) -> str:
        return getattr(self.own, "__name__", type(self.own).__name__)

    def __call__(self, first: Any, second: Any) -> torch.Tensor:
        """The loss of (outputs, targets) or (model, batch) as it is trained on."""
        n = length(second)
        if n is None or n == self.size:
            return self.own(first, second)
        if self.kind == SUM:
            return self.own(first, second) * (self.size / n)
        cut_first = (lambda start, stop: first) if callable(first) else (lambda start, stop: cut(first, start, stop))
        starts = range(0, max(n - self.size, 0) + 1, self.size)
        parts = [self.own(cut_first(i, i + self.size), cut(second, i, i + self.size)).reshape(()) for i in starts]
        return torch.stack(parts).mean()


def as_trained(point: Point, size: int) -> Point:
    """The point with the loss of the batches of `size` that are trained on; as it is where that is a mean over samples."""
    n = length(point.batch)
    if n is None or n < 4 or n == size:
        return point
    kind = _reduction_by_parts(point, n, size)
    if kind == MEAN:
        return point
    own = point.loss or point.loss_fn
    assert own is not None
    wrapped = PerBatch(own, size, kind)
    return replace(point, **{"loss" if point.loss else "loss_fn": wrapped})


def sees_whole_batches(point: Point) -> bool:
    """Whether the loss is known not to be made of samples' losses."""
    loss = point.loss or point.loss_fn
    return isinstance(loss, PerBatch) and loss.kind == OTHER


def _reduction_by_parts(point: Point, n: int, size: int) -> str:
    """As `reduction`, over parts of the size that is trained on, or halves."""
    count = max(n // max(size, 2), 2)
    if point.loss is not None:
        with torch.no_grad():
            inputs, targets = split(point.batch)
            outputs = point.model_outputs(inputs)
            if length(outputs) == n:
                own, step = point.loss, n // count
                whole = float(own(cut(outputs, 0, step * count), cut(targets, 0, step * count)))
                starts = range(0, step * count, step)
                parts = [float(own(cut(outputs, i, i + step), cut(targets, i, i + step))) for i in starts]
                return reduction_of(whole, [(part, step) for part in parts])
    parts = chunks(point.batch, min(count, MOST_PARTS))
    return MEAN if parts is None else reduction(point, parts)


def convention(point: Point) -> str:
    """The loss and its reduction, in words."""
    loss = point.loss or point.loss_fn
    if isinstance(loss, PerBatch):
        sees = "SUM over" if loss.kind == SUM else "neither a mean nor a sum over samples: mean over"
        return f"{point.loss_name}, {sees} batches of {loss.size}"
    parts = chunks(point.batch, 2)
    kind = "" if parts is None else reduction(point, parts)
    words = {MEAN: ", mean over the samples", SUM: ", SUM over the samples"}
    return point.loss_name + words.get(kind, ", neither a mean nor a sum over samples")


def reduction(point: Point, parts: Sequence[Batch]) -> str:
    """ "mean", "sum" or "other": whether the loss of everything is the mean or the sum of those of equal parts."""
    if sees_whole_batches(point):
        return OTHER
    return reduction_of(point.value(), [(point.value(part), 1) for part in parts])
