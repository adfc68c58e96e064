"""Small networks that guess the next character of a text."""

from __future__ import annotations

import inspect
from functools import cache, partial
from types import ModuleType

import torch
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, few

HELD_OUT = 1024
"""Samples to choose by, and to score on."""
BEFORE = 4
"""Characters from which the next is guessed."""
LETTERS = 64
"""Code points above 32, so many of them; all others are one: small letters, too, and to these the text is lowered. So signs
and digits are told apart, and no letters; records rest on it (2026-11-26_psi, _psi_frozen), and it stays."""
FEW = 800
"""Samples of the family that learns them by heart."""


@cache
def text() -> Splits:
    """The next sign or digit (see `LETTERS`) of what scikit-learn says of its data, after four: [N, 4] indices and [N]."""
    from sklearn import datasets

    words = "".join(_said(datasets))
    codes = torch.tensor([ord(c) for c in words.lower()], dtype=torch.int64)
    codes = torch.where((codes >= 33) & (codes < 32 + LETTERS), codes - 32, torch.zeros_like(codes))
    windows = codes.unfold(0, BEFORE + 1, 1)
    windows = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(7))]
    x, y = windows[:, :BEFORE].contiguous(), windows[:, BEFORE].contiguous()
    first, second = len(x) - 2 * HELD_OUT, len(x) - HELD_OUT
    parts = (slice(0, first), slice(first, second), slice(second, None))
    train, valid, test = ((x[part], y[part]) for part in parts)
    return train, valid, test


def _said(module: ModuleType) -> list[str]:
    """The docstrings of what a module offers, in the order of the names."""
    return [inspect.getdoc(getattr(module, name)) or "" for name in sorted(module.__all__)]


class Continues(nn.Module):
    """Four letters, embedded, hidden layers, the scores of the next."""

    def __init__(self, size: int = 8, *widths: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(LETTERS, size)
        self.body = chain((BEFORE * size, *widths, LETTERS))

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, 4] indices -> [B, 64] scores."""
        return self.body(self.embed(letters).flatten(1))


class Reads(nn.Module):
    """A recurrent network: one letter after the other changes its state, which guesses the next."""

    def __init__(self, size: int = 8, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(LETTERS, size)
        self.seen, self.kept, self.last = nn.Linear(size, width), nn.Linear(width, width), nn.Linear(width, LETTERS)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, 4] indices -> [B, 64] scores."""
        seen = self.seen(self.embed(letters))
        state = torch.tanh(seen[:, 0])
        for i in range(1, BEFORE):
            state = torch.tanh(seen[:, i] + self.kept(state))
        return self.last(state)


TEXT = (
    Family("text", "text", text, partial(Continues, 8, 48)),
    Family("text-flat", "text", text, partial(Continues, 16)),
    Family("text-few", "text", partial(few, text, FEW), partial(Continues, 8, 64), overfits=True),
    Family("text-read", "text", text, Reads),
)
"""Read a few times; the few by heart."""
