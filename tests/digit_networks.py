"""Small networks of every kind on a few digits, as the tests compare engines on: seven steps an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar import Problem
from etastar.problems.digits import Transformer, load

EPOCH = 7
"""Steps of 16 rows: a comparison over 16 steps holds two ends of an epoch and goes on after them."""


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.GELU(), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip


def transformer() -> nn.Module:
    return Transformer(depth=1, width=8, heads=2)


def digits(
    model: Callable[[], nn.Module], optimizer: Callable[[nn.Module], torch.optim.Optimizer], **settings: Any
) -> Problem:
    """The problem of a network and an optimizer, with settings that replace its own."""
    train, valid = load()
    own = {"train": tuple(t[: 16 * EPOCH] for t in train), "valid": tuple(t[:50] for t in valid), "batch_size": 16}
    return Problem(model=model, optimizer=optimizer, **({"loss": F.cross_entropy, "steps": 200} | own | settings))
