"""Two networks that read: they guess every next character of Python's own help texts."""

from __future__ import annotations

from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.bakeoff.tasks import Split
from benchmarks.long_horizon.tasks import CHARACTERS

CONTEXT, HELD_OUT = 16, 500
"""Characters read at once, and windows that are held out, the last ones: 8,000 characters."""
STATE, WIDTH = 32, 24
"""Of the LSTM, and of what flows through the transformer."""


def next_characters() -> Split:
    """(characters, the next ones) [N, 16] of windows that share nothing; the held-out ones come later."""
    text = [CHARACTERS.index(c) for name in sorted(topics) for c in topics[name].lower() if c in CHARACTERS]
    windows = torch.tensor(text).unfold(0, CONTEXT + 1, CONTEXT)
    x, y = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
    return (x[:-HELD_OUT], y[:-HELD_OUT]), (x[-HELD_OUT:], y[-HELD_OUT:])


class Remembers(nn.Module):
    """An LSTM: what it has read is in its state."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(CHARACTERS), STATE)
        self.body = nn.LSTM(STATE, STATE, batch_first=True)
        self.last = nn.Linear(STATE, len(CHARACTERS))

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, T] indices -> [B, 39, T] scores, as `F.cross_entropy` takes them."""
        return self.last(self.body(self.embed(letters))[0]).transpose(1, 2)


class Attends(nn.Module):
    """A transformer: two blocks that look back at all they have read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(len(CHARACTERS), WIDTH), nn.Parameter(0.02 * torch.randn(CONTEXT, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.last = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(CHARACTERS))

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """[B, T] indices -> [B, 39, T] scores, as `F.cross_entropy` takes them."""
        return self.last(self.norm(self.blocks(self.embed(letters) + self.place))).transpose(1, 2)


class Block(nn.Module):
    """Attention of two heads over the past, then two layers, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.asked, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, width] -> the same."""
        q, k, v = self.asked(self.before(x)).unflatten(2, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))
