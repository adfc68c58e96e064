"""Small tasks whose data have no end: a teacher to imitate, a line to find, clusters to tell apart."""

from __future__ import annotations

from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain

SAMPLES, HELD_OUT = 32_768, 1024
"""To train on: thousands of steps of 32 before one is seen again; and to choose by and to score on."""
CLUSTERS = 8


def _drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _cut(x: torch.Tensor, y: torch.Tensor) -> Splits:
    first, second = len(x) - 2 * HELD_OUT, len(x) - HELD_OUT
    parts = (slice(0, first), slice(first, second), slice(second, None))
    train, valid, test = ((x[part], y[part]) for part in parts)
    return train, valid, test


def _noisy(y: torch.Tensor, noise: float, seed: int) -> torch.Tensor:
    return y + noise * _drawn(seed, *y.shape)


@cache
def taught() -> Splits:
    """What a tanh network of 8 units says of normal inputs [N, 16], with noise of a tenth of it."""
    x = _drawn(0, SAMPLES, 16)
    y = torch.tanh(x @ _drawn(1, 16, 8) / 4) @ _drawn(2, 8, 1) / 8**0.5
    return _cut(x, _noisy(y, 0.1, 3))


@cache
def line() -> Splits:
    """A linear function of inputs [N, 32] whose variances fall as 1/i^1.5, with noise."""
    scales = torch.arange(1, 33).pow(-0.75)
    x = _drawn(4, SAMPLES, 32) * scales
    return _cut(x, _noisy(x @ _drawn(5, 32, 1), 0.3, 6))


@cache
def steep() -> Splits:
    """A linear function of inputs whose variances fall as 1/i^2: few directions carry almost all."""
    scales = 1.0 / torch.arange(1, 33)
    x = _drawn(8, SAMPLES, 32) * scales
    return _cut(x, _noisy(x @ (_drawn(9, 32, 1) / scales.sqrt().unsqueeze(1)), 0.3, 10))


@cache
def clusters() -> Splits:
    """Points [N, 16] around one of three centres of each of eight classes."""
    centres, generator = 0.7 * _drawn(11, CLUSTERS, 3, 16), torch.Generator().manual_seed(12)
    y, which = (torch.randint(0, most, (SAMPLES,), generator=generator) for most in (CLUSTERS, 3))
    return _cut(centres[y, which] + _drawn(13, SAMPLES, 16), y)


STREAMS = (
    Family("teacher", "streams", taught, partial(chain, (16, 32, 1), nn.Tanh), F.mse_loss),
    Family("teacher-deep", "streams", taught, partial(chain, (16, 24, 24, 24, 1)), F.mse_loss),
    Family("line", "streams", line, partial(chain, (32, 1)), F.mse_loss),
    Family("line-deep", "streams", line, partial(chain, (32, 32, 1)), F.mse_loss),
    Family("line-steep", "streams", steep, partial(chain, (32, 1)), F.mse_loss),
    Family("clusters", "streams", clusters, partial(chain, (16, 32, CLUSTERS))),
)
"""One pass over the data."""
