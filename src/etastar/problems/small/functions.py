"""Small networks that learn a function of the plane, point by point."""

from __future__ import annotations

from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, few, split

POINTS = 6000
FEW = 80
"""Points of the family that learns their noise by heart."""


@cache
def waves() -> Splits:
    """Three waves over the square [-1, 1]^2, and noise."""
    generator = torch.Generator().manual_seed(20)
    x = 2 * torch.rand(POINTS, 2, generator=generator) - 1
    y = (3 * x[:, 0]).sin() + 0.5 * (5 * x[:, 1] + 2 * x[:, 0]).cos() + 0.3 * (9 * x[:, 0] * x[:, 1]).sin()
    return split(x, (y + 0.1 * torch.randn(POINTS, generator=generator)).unsqueeze(1))


@cache
def sides() -> Splits:
    """On which side of a spiral a point of the square lies; a tenth are told wrongly."""
    generator = torch.Generator().manual_seed(21)
    x = 2 * torch.rand(POINTS, 2, generator=generator) - 1
    inner = torch.sin(2.5 * torch.atan2(x[:, 1], x[:, 0]).abs() + 5 * x.norm(dim=1)) > 0
    return split(x, (inner ^ (torch.rand(POINTS, generator=generator) < 0.1)).long())


FUNCTIONS = (
    Family("waves", "functions", waves, partial(chain, (2, 48, 48, 1), nn.Tanh), F.mse_loss),
    Family("waves-few", "functions", partial(few, waves, FEW), partial(chain, (2, 64, 64, 1)), F.mse_loss, overfits=True),
    Family("sides", "functions", sides, partial(chain, (2, 32, 32, 2))),
)
"""Two inputs, so that hidden layers carry all."""
