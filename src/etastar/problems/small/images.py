"""Small networks on digits of 8 x 8 pixels."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.digits import CLASSES, PIXELS, Transformer, cnn
from etastar.problems.small.family import Family, Splits, chain, split

FEW = 150
"""Samples of the family that memorises them."""
WRONG = 0.2
"""Share of labels drawn anew."""


@cache
def digits() -> Splits:
    """Images [N, 64] with mean 0 and variance 1 over all pixels; labels [N]."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    return split((x - x.mean()) / x.std(), torch.tensor(data.target, dtype=torch.int64))


@cache
def few_digits() -> Splits:
    """The same with few samples to train on."""
    (x, y), valid, test = digits()
    return (x[:FEW], y[:FEW]), valid, test


@cache
def wrong_labels() -> Splits:
    """The same with a share of the training labels drawn anew, once."""
    (x, y), valid, test = digits()
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(len(y), generator=generator) < WRONG
    anew = torch.randint(0, CLASSES, y.shape, generator=generator)
    return (x, torch.where(drawn, anew, y)), valid, test


@cache
def themselves() -> Splits:
    """Images as their own targets."""
    train, valid, test = ((x, x) for x, _ in digits())
    return train, valid, test


IMAGES = (
    Family("digits-mlp", "digits", digits, partial(chain, (PIXELS, 32, CLASSES))),
    Family("digits-deep", "digits", digits, partial(chain, (PIXELS, 24, 24, 24, 24, 24, CLASSES))),
    Family("digits-few", "digits", few_digits, partial(chain, (PIXELS, 64, CLASSES))),
    Family("digits-wrong", "digits", wrong_labels, partial(chain, (PIXELS, 96, CLASSES), norm=True)),
    Family("digits-conv", "digits", digits, partial(cnn, 4), batch_size=16),
    Family("digits-attention", "digits", digits, partial(Transformer, 1, 16, 2), batch_size=16),
    Family("digits-softmax", "digits", digits, partial(chain, (PIXELS, CLASSES))),
    Family("autoencoder", "rebuilt", themselves, partial(chain, (PIXELS, 32, 8, 32, PIXELS), nn.Tanh), F.mse_loss),
)
"""Digits, and their autoencoder, whose loss knows no classes."""
