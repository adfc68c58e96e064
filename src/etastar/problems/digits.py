"""Networks on scikit-learn's digits (1797 images of 8 x 8, bundled with the package): real data without a download."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar import arguments
from etastar.core.problem import Problem
from etastar.problems.optimizers import optimizer_factory

CLASSES, PIXELS, SIDE = 10, 64, 8
TRAIN_SIZE = 1437
COPIES = 27
"""Of every image of the stream: 1,200 steps of 32 before one is seen again."""
NOISE = 0.5
"""Standard deviation added to the pixels of the stream, whose own is 1: the network gets 0.89 of them right, not 0.98."""


def load() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """(train, valid) as (images [N, 64], labels [N]); images have mean 0 and variance 1 over the training pixels."""
    x, y = (t.clone() for t in _shuffled())  # a problem's tensors are its own
    return (x[:TRAIN_SIZE], y[:TRAIN_SIZE]), (x[TRAIN_SIZE:], y[TRAIN_SIZE:])


@cache
def _shuffled() -> tuple[torch.Tensor, torch.Tensor]:
    """All of them, read once: scikit-learn takes 5 ms to read its file of text, a clone 0.015."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(data.data, dtype=torch.float32)[order]
    y = torch.tensor(data.target, dtype=torch.int64)[order]
    mean, std = x[:TRAIN_SIZE].mean(), x[:TRAIN_SIZE].std()
    return (x - mean) / std, y


def digits_mlp(
    depth: int = 3,
    width: int = 64,
    optimizer: str = "momentum:lr=0.05",
    batch_size: int = 64,
    steps: int = 400,
    seed: int = 0,
) -> Problem:
    """ReLU network with `depth` hidden layers of `width`, torch's default initialisation."""
    return _problem("digits-mlp", lambda: mlp(depth, width), optimizer, batch_size, steps, seed)


def digits_stream(
    depth: int = 3,
    width: int = 64,
    optimizer: str = "momentum:lr=0.05",
    batch_size: int = 32,
    steps: int = 1200,
    seed: int = 0,
) -> Problem:
    """The network of `digits_mlp` on images that are shifted by up to a pixel and noisy: every batch is fresh."""
    problem = _problem("digits-stream", lambda: mlp(depth, width), optimizer, batch_size, steps, seed)
    train, valid = load()
    return problem.but(train=shaken(*train, copies=COPIES, seed=0), valid=shaken(*valid, copies=6, seed=1))


def shaken(x: torch.Tensor, y: torch.Tensor, *, copies: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`copies` of every image [N, 64], each shifted by up to a pixel either way and with noise of its own, in one shuffle.

    >>> x, y = shaken(torch.zeros(3, 64), torch.arange(3), copies=2, seed=0)
    >>> x.shape, sorted(y.tolist())
    (torch.Size([6, 64]), [0, 0, 1, 1, 2, 2])
    """
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(copies * len(x), generator=draw) % len(x)
    down, right = torch.randint(3, (2, len(order)), generator=draw)
    wide = F.pad(x.view(-1, SIDE, SIDE), (1, 1, 1, 1), value=float(x.min()))[order]
    rows, columns = down[:, None] + torch.arange(SIDE), right[:, None] + torch.arange(SIDE)
    moved = wide[torch.arange(len(order))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.flatten(1) + NOISE * torch.randn(len(order), PIXELS, generator=draw), y[order]


def digits_deep_mlp(
    depth: int = 12,
    width: int = 64,
    optimizer: str = "momentum:lr=0.01",
    batch_size: int = 64,
    steps: int = 400,
    seed: int = 0,
) -> Problem:
    """Deep ReLU network with He initialisation and zero biases."""
    return _problem("digits-deep-mlp", lambda: he(mlp(depth, width)), optimizer, batch_size, steps, seed)


def digits_cnn(
    width: int = 8, optimizer: str = "momentum:lr=0.05", batch_size: int = 64, steps: int = 400, seed: int = 0
) -> Problem:
    """Two 3 x 3 convolutions (`width` and twice `width` channels), max-pooling, one linear layer."""
    return _problem("digits-cnn", lambda: cnn(width), optimizer, batch_size, steps, seed)


def digits_transformer(
    depth: int = 2,
    width: int = 32,
    heads: int = 2,
    optimizer: str = "adam:lr=0.001",
    batch_size: int = 64,
    steps: int = 400,
    seed: int = 0,
) -> Problem:
    """Pre-LayerNorm transformer that reads the image's 8 rows as tokens."""
    return _problem("digits-transformer", lambda: Transformer(depth, width, heads), optimizer, batch_size, steps, seed)


def _problem(label: str, model: Callable[[], nn.Module], optimizer: str, batch_size: int, steps: int, seed: int) -> Problem:
    train, valid = load()
    return Problem(
        model=model,
        optimizer=optimizer_factory(optimizer),
        loss=F.cross_entropy,
        train=train,
        valid=valid,
        batch_size=batch_size,
        steps=steps,
        accuracy_threshold=0.5,
        label=label,
        seed=seed,
    )


def mlp(depth: int, width: int) -> nn.Sequential:
    """64 -> width x depth -> 10, ReLU between."""
    arguments.LAYERS("depth", depth)
    arguments.UNITS("width", width)
    sizes = [PIXELS, *[width] * depth]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(sizes[-1], CLASSES))


def he(model: nn.Module) -> nn.Module:
    """Weights ~ N(0, 2 / fan_in), biases 0, in every linear layer."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return model


def cnn(width: int) -> nn.Sequential:
    """Conv-ReLU, conv-ReLU, pool, linear on 8 x 8 images."""
    arguments.UNITS("width", width)
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * (SIDE // 2) ** 2, CLASSES),
    )


class Transformer(nn.Module):
    """Rows -> linear embedding + learned position -> pre-LN encoder -> mean -> linear."""

    def __init__(self, depth: int, width: int, heads: int) -> None:
        super().__init__()
        arguments.LAYERS("depth", depth)
        for name, size in (("width", width), ("heads", heads)):
            arguments.UNITS(name, size)
        self.embed = nn.Linear(SIDE, width)
        self.position = nn.Parameter(0.02 * torch.randn(SIDE, width))
        layers = [
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(depth)
        ]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 64] -> class scores [B, 10]."""
        rows = self.embed(x.unflatten(1, (SIDE, SIDE))) + self.position
        return self.out(self.norm(self.layers(rows)).mean(1))
