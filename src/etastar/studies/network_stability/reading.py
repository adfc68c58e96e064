"""What is read of weights: losses on fixed samples, lambda1 with BatchNorm fixed, barriers on straight lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from etastar.probes.point import Point
from etastar.probes.sharpness import Sharpness
from etastar.studies.network_stability.networks import Halves, cross_entropy
from etastar.studies.network_stability.states import Weights
from etastar.studies.network_stability.walk import scores_of

PART = 250
"""Samples whose statistics BatchNorm takes together."""
FIXED = 500
"""Training samples of the fixed batches, as they are: neither mirrored, nor moved, nor with noise in their labels."""
CURVED = 128
"""Training samples of the curvature."""
PLACES = 11
"""On a straight line, its ends included."""
TOLERANCE = 0.05
"""Of lambda1; its scatter over seeds is larger."""


def tested(halves: Halves, net: nn.Module, weights: Weights) -> dict[str, float]:
    """Cross-entropy and accuracy on the test samples, with the statistics of 250 of them at a time."""
    loss, hits, count = 0.0, 0.0, 0
    with torch.no_grad():
        for x, y in zip(*(part.split(PART) for part in halves.test), strict=True):
            scores = scores_of(net, weights, x)
            loss += len(x) * float(cross_entropy(scores, y))
            hits += float((scores.argmax(-1) == y).float().mean()) * len(x)
            count += len(x)
    return {"test": round(loss / count, 6), "accuracy": round(hits / count, 6)}


def fixed_loss(halves: Halves, seed: int, net: nn.Module, weights: Weights) -> float:
    """The objective on fixed training samples, in parts of 250."""
    inputs, labels = (part[:FIXED] for part in halves.part(seed))
    with torch.no_grad():
        parts = [
            (len(x), float(cross_entropy(scores_of(net, weights, x), y, halves.noise)))
            for x, y in zip(inputs.split(PART), labels.split(PART), strict=True)
        ]
    return sum(n * loss for n, loss in parts) / sum(n for n, _ in parts)


def line(halves: Halves, seed: int, net: nn.Module, a: Weights, b: Weights) -> list[float]:
    """The same at equal distances from `a` to `b`."""
    places = [i / (PLACES - 1) for i in range(PLACES)]
    return [round(fixed_loss(halves, seed, net, {n: torch.lerp(a[n], b[n], at) for n in a}), 6) for at in places]


def barrier(losses: Sequence[float]) -> float:
    """How far a line's losses rise above the straight line between those at its ends.

    >>> barrier([1.0, 3.0, 2.0]), barrier([1.0, 1.2, 2.0])
    (1.5, 0.0)
    """
    last = len(losses) - 1
    return max(loss - losses[0] - (losses[-1] - losses[0]) * i / last for i, loss in enumerate(losses))


def lambda1(halves: Halves, seed: int, net: nn.Module, weights: Weights, products: int) -> float:
    """The largest eigenvalue of the objective's Hessian on fixed samples, BatchNorm's statistics held at theirs."""
    x, y = (part[:CURVED] for part in halves.part(seed))
    own = halves.network()
    own.load_state_dict({**net.state_dict(), **weights})
    _hold_statistics(own, x)
    optimizer = torch.optim.SGD(own.parameters(), lr=1.0)
    point = Point(model=own, optimizer=optimizer, batch=(x, y), loss=partial(cross_entropy, noise=halves.noise), seed=seed)
    reading = Sharpness(tolerance=TOLERANCE, max_products=products)(point)
    return float("nan") if reading.value is None else float(reading.value)


def _hold_statistics(net: nn.Module, x: torch.Tensor) -> None:
    """Eval mode, with the statistics of this batch."""
    layers = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    for layer in layers:
        layer.momentum = 1.0
    net.train()
    with torch.no_grad():
        net(x)
    net.eval()
