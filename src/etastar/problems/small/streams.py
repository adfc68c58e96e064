"""Small tasks whose data have no end: a teacher to imitate, a line to find, a text to continue."""

from __future__ import annotations

import inspect
from functools import cache, partial
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain

SAMPLES, HELD_OUT = 32_768, 1024
"""To train on: thousands of steps of 32 before one is seen again; and to choose by and to score on."""
BEFORE = 4
"""Characters from which the next is guessed."""
LETTERS = 64
"""Code points above 32, so many of them; all others are one."""


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
def text() -> Splits:
    """The next character of what scikit-learn says of its data sets, after four: [N, 4] indices and [N]."""
    from sklearn import datasets

    words = "".join(_said(datasets))
    codes = torch.tensor([ord(c) for c in words.lower()], dtype=torch.int64)
    codes = torch.where((codes >= 33) & (codes < 32 + LETTERS), codes - 32, torch.zeros_like(codes))
    windows = codes.unfold(0, BEFORE + 1, 1)
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(7))]
    return _cut(windows[:, :BEFORE].contiguous(), windows[:, BEFORE].contiguous())


def _said(module: ModuleType) -> list[str]:
    """The docstrings of what a module offers, in the order of the names."""
    return [inspect.getdoc(getattr(module, name)) or "" for name in sorted(module.__all__)]


class Continues(nn.Module):
    """Four letters, embedded, one hidden layer, the scores of the next."""

    def __init__(self, size: int = 8, width: int = 48) -> None:
        super().__init__()
        self.embed = nn.Embedding(LETTERS, size)
        self.body = chain((BEFORE * size, width, LETTERS))

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, 4] indices -> [B, 64] scores."""
        return self.body(self.embed(letters).flatten(1))


STREAMS = (
    Family("teacher", "streams", taught, partial(chain, (16, 32, 1), nn.Tanh), F.mse_loss),
    Family("line", "streams", line, partial(chain, (32, 1)), F.mse_loss),
    Family("line-deep", "streams", line, partial(chain, (32, 32, 1)), F.mse_loss),
    Family("text", "text", text, Continues),
)
"""One pass over the data, but for the text, which is read a few times."""
