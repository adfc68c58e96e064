"""A small GPT on characters: 4 layers of width 128, context 64, bfloat16, weight decay on matrices alone.

    etastar find examples/nanogpt.py:problem --steps 20000 --budget 0.02

The text is Python's own help topics, or the file that the environment variable NANOGPT_TEXT names.
"""

from __future__ import annotations

import os
from pathlib import Path
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

import etastar

LAYERS, WIDTH, HEADS, CONTEXT, STRIDE = 4, 128, 4, 64, 16


def windows(text: str) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor], int]:
    """(characters, the next ones) to train on, the last tenth held out, and how many characters there are."""
    known = sorted(set(text))
    codes = torch.tensor([known.index(c) for c in text])
    cut = int(0.9 * len(codes))
    train, valid = codes[:cut].unfold(0, CONTEXT + 1, STRIDE), codes[cut:].unfold(0, CONTEXT + 1, CONTEXT)
    return (train[:, :-1], train[:, 1:]), (valid[:, :-1], valid[:, 1:]), len(known)


class Block(nn.Module):
    """Attention over the past, then a two-layer network, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.queries_keys_values, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:2], HEADS, WIDTH // HEADS)
        parts = self.queries_keys_values(self.before_attention(x)).split(WIDTH, dim=-1)
        q, k, v = (part.reshape(shape).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.before_mlp(x))


class GPT(nn.Module):
    """Characters in, logits of the next one out."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.character, self.place = nn.Embedding(characters, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.last, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, characters, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            h = self.character(x) + self.place(torch.arange(x.shape[1], device=x.device))
            return self.head(self.last(self.blocks(h))).float()


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW; decay on matrices, none on gains and biases."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over all characters."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def problem() -> etastar.Problem:
    """Batches of 12 windows, warm-up and cosine."""
    path = os.environ.get("NANOGPT_TEXT")
    text = Path(path).read_text() if path else "".join(topics[name] for name in sorted(topics))
    train, valid, characters = windows(text)
    return etastar.Problem(
        model=lambda: GPT(characters),
        optimizer=optimizer,
        loss=loss,
        train=train,
        valid=valid,
        batch_size=12,
        steps=20_000,
        schedule="warmup-cosine",
        name="nanogpt",
    )
