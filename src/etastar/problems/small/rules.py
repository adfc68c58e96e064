"""Small networks that learn a rule: sums of numbers that are only names, a vote of bits."""

from __future__ import annotations

from functools import cache, partial

import torch
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, split

NUMBERS, BINS = 16, 6
BITS = 12


@cache
def sums() -> Splits:
    """Pairs of numbers below 16 [256, 2] and in which sixth their sum lies: all there are, so that the rest is inferred."""
    pairs = torch.cartesian_prod(torch.arange(NUMBERS), torch.arange(NUMBERS))
    return split(pairs, pairs.sum(1) * BINS // (2 * NUMBERS - 1))


@cache
def vote() -> Splits:
    """Twelve bits of +-1, and whether the majority of three of their products is positive; one in twenty is wrong."""
    generator = torch.Generator().manual_seed(30)
    x = 2.0 * torch.randint(0, 2, (8000, BITS), generator=generator) - 1
    products = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3] + x[:, 4]
    return split(x, ((products > 0) ^ (torch.rand(len(x), generator=generator) < 0.05)).long())


class Adds(nn.Module):
    """Two numbers, embedded, one hidden layer, the scores of the sum."""

    def __init__(self, size: int = 12, width: int = 64) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(NUMBERS, size), chain((2 * size, width, BINS))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """[B, 2] indices -> [B, 6] scores."""
        return self.body(self.embed(numbers).flatten(1))


RULES = (
    Family("sums", "rules", sums, Adds, overfits=True),
    Family("vote", "rules", vote, partial(chain, (BITS, 48, 2))),
    Family("vote-deep", "rules", vote, partial(chain, (BITS, 24, 24, 2), norm=True)),
)
"""Nothing is near to anything: what helps with one input may say the opposite of the next."""
