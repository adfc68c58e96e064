"""Small networks on digits of 8 x 8 pixels."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.digits import CLASSES, PIXELS, Transformer, cnn
from etastar.problems.small.family import Family, Splits, chain, few, mislabelled, split

FEW, FEWER = 150, 60
"""Samples of the families that memorise them."""
NOISE = 0.5
"""Standard deviation of what is added to the pixels that are to be cleaned, in that of the pixels."""


@cache
def digits() -> Splits:
    """Images [N, 64] with mean 0 and variance 1 over all pixels; labels [N]."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    return split((x - x.mean()) / x.std(), torch.tensor(data.target, dtype=torch.int64))


@cache
def themselves() -> Splits:
    """Images as their own targets."""
    train, valid, test = ((x, x) for x, _ in digits())
    return train, valid, test


@cache
def noisy() -> Splits:
    """Images with noise, drawn once, and without."""
    generator = torch.Generator().manual_seed(2)
    train, valid, test = ((x + NOISE * torch.randn(x.shape, generator=generator), x) for x, _ in digits())
    return train, valid, test


@cache
def coarse() -> Splits:
    """Images at half the resolution, and at the whole."""
    halved = lambda x: F.avg_pool2d(x.unflatten(1, (1, 8, 8)), 2).flatten(1)
    train, valid, test = ((halved(x), x) for x, _ in digits())
    return train, valid, test


class Residual(nn.Module):
    """Two tanh blocks behind LayerNorms, each added to what it was given."""

    def __init__(self, width: int = 32, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(PIXELS, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Tanh()) for _ in range(blocks)
        )
        self.last = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 64] -> [B, 10] scores."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


IMAGES = (
    Family("digits-mlp", "digits", digits, partial(chain, (PIXELS, 32, CLASSES))),
    Family("digits-deep", "digits", digits, partial(chain, (PIXELS, 24, 24, 24, 24, 24, CLASSES))),
    Family("digits-few", "digits", partial(few, digits, FEW), partial(chain, (PIXELS, 64, CLASSES)), overfits=True),
    Family("digits-fewer", "digits", partial(few, digits, FEWER), partial(chain, (PIXELS, 32, 32, CLASSES)), overfits=True),
    Family(
        "digits-wrong", "digits", partial(mislabelled, digits, CLASSES), partial(chain, (PIXELS, 96, CLASSES), norm=True)
    ),
    Family("digits-residual", "digits", digits, Residual),
    Family("digits-conv", "digits", digits, partial(cnn, 4), batch_size=16),
    Family("digits-attention", "digits", digits, partial(Transformer, 1, 16, 2), batch_size=16),
    Family("digits-softmax", "digits", digits, partial(chain, (PIXELS, CLASSES))),
    Family("autoencoder", "rebuilt", themselves, partial(chain, (PIXELS, 32, 8, 32, PIXELS), nn.Tanh), F.mse_loss),
    Family("cleaned", "rebuilt", noisy, partial(chain, (PIXELS, 48, PIXELS)), F.mse_loss),
    Family("refined", "rebuilt", coarse, partial(chain, (16, 64, PIXELS)), F.mse_loss),
    Family("refined-few", "rebuilt", partial(few, coarse, FEW), partial(chain, (16, 96, PIXELS)), F.mse_loss, overfits=True),
)
"""Digits, and images of them to be rebuilt, whose loss knows no classes."""
