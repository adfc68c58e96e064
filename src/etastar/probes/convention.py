"""How a loss is reduced over samples: the same network differs five- to eightfold in sharpness between conventions."""

from __future__ import annotations

from collections.abc import Sequence

from etastar.core.data import Batch
from etastar.probes.point import Point
from etastar.probes.samples import chunks

WITHIN = 0.1


def convention(point: Point) -> str:
    """The loss and its reduction, in words."""
    parts = chunks(point.batch, 2)
    kind = "" if parts is None else reduction(point, parts)
    words = {"mean": ", mean over the samples", "sum": ", SUM over the samples"}
    return point.loss_name + words.get(kind, ", neither a mean nor a sum over samples")


def reduction(point: Point, parts: Sequence[Batch]) -> str:
    """ "mean", "sum" or "other": whether the loss of everything is the mean or the sum of those of equal parts.

    Batch normalisation makes neither exact, hence a margin.
    """
    whole, total = point.value(), sum(point.value(part) for part in parts)
    errors = {"mean": abs(whole - total / len(parts)), "sum": abs(whole - total)}
    best = min(errors, key=lambda kind: errors[kind])
    return best if errors[best] <= WITHIN * abs(whole) else "other"
