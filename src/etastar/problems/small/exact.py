"""Small networks whose data say the truth, and enough of it: the loss on what was not seen falls as long as one trains."""

from __future__ import annotations

from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, split

SAMPLES = 6000
BITS = 12


def _drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def imitated() -> Splits:
    """What a tanh network of 6 units says of normal inputs [N, 10]."""
    x = _drawn(40, SAMPLES, 10)
    return split(x, torch.tanh(x @ _drawn(41, 10, 6) / 3) @ _drawn(42, 6, 1) / 6**0.5)


@cache
def straight() -> Splits:
    """A linear function of normal inputs [N, 24], whose variances fall to a hundredth."""
    x = _drawn(43, SAMPLES, 24) * torch.logspace(0, -1, 24)
    return split(x, x @ _drawn(44, 24, 1))


@cache
def products() -> Splits:
    """x0 x1 + sin(2 x2) - x3^2 / 2 of normal inputs [N, 6]."""
    x = _drawn(45, SAMPLES, 6)
    return split(x, (x[:, 0] * x[:, 1] + (2 * x[:, 2]).sin() - x[:, 3] ** 2 / 2).unsqueeze(1))


@cache
def ones() -> Splits:
    """Twelve bits of +-1, and how many of them are 1, in fours."""
    x = torch.randint(0, 2, (SAMPLES, BITS), generator=torch.Generator().manual_seed(46))
    return split(2.0 * x - 1, (x.sum(1) / 4).long())


@cache
def largest() -> Splits:
    """Six normal numbers [N, 6], and which is the largest."""
    x = _drawn(47, SAMPLES, 6)
    return split(x, x.argmax(1))


EXACT = (
    Family("imitated", "exact", imitated, partial(chain, (10, 32, 1), nn.Tanh), F.mse_loss),
    Family("straight", "exact", straight, partial(chain, (24, 24, 1)), F.mse_loss),
    Family("products", "exact", products, partial(chain, (6, 48, 48, 1), nn.Tanh), F.mse_loss),
    Family("ones", "exact", ones, partial(chain, (BITS, 32, 4))),
    Family("largest", "exact", largest, partial(chain, (6, 32, 6))),
)
"""Without noise there is no floor to come to rest on: a right rate stays high, and the parameters go far."""
