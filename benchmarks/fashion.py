"""Fashion-MNIST from IDX files, and the network of the eta* law: bias-free ReLU MLP, He init, slow input layer."""

from __future__ import annotations

import gzip
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Problem

TABLE_B1: dict[tuple[int, int], tuple[float, float, float]] = {
    (4, 64): (1.65, 1.38, 1.86),
    (8, 128): (0.443, 0.40, 0.49),
    (2, 128): (3.27, 3.07, 3.47),
    (4, 256): (0.474, 0.44, 0.51),
}
"""(hidden layers, width) -> (eta*, 95 % interval) measured earlier at input rate x0.01, threshold 0.5, 100 steps."""


def read_idx(path: Path) -> np.ndarray:
    """An IDX file, gzipped or not, as an array."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        _, kind, dims = struct.unpack(">HBB", file.read(4))
        assert kind == 8, f"{path}: expected unsigned bytes"
        shape = struct.unpack(f">{dims}I", file.read(4 * dims))
        return np.frombuffer(file.read(), dtype=np.uint8).reshape(shape)


def load(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Training images [60000, 784], standardised over all pixels, and labels."""
    x = torch.tensor(read_idx(folder / "train-images-idx3-ubyte.gz")).flatten(1).float()
    y = torch.tensor(read_idx(folder / "train-labels-idx1-ubyte.gz")).long()
    return (x - x.mean()) / x.std(), y


def network(depth: int, width: int) -> nn.Sequential:
    """784 -> width x depth -> 10 without biases, weights ~ N(0, 2 / fan_in)."""
    sizes = [784, *[width] * depth]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b, bias=False), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 10, bias=False))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


def problem(data: tuple[torch.Tensor, torch.Tensor], depth: int, width: int, input_rate: float = 0.01) -> Problem:
    """SGD, batch 128, 100 steps, threshold accuracy 0.5."""

    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        first, *rest = model.parameters()
        lr = 0.1
        groups = [{"params": [first], "lr": input_rate * lr, "name": "input"}, {"params": rest, "name": "rest"}]
        return torch.optim.SGD(groups, lr=lr)

    return Problem(
        model=lambda: network(depth, width),
        optimizer=optimizer,
        loss=F.cross_entropy,
        train=data,
        batch_size=128,
        steps=100,
        accuracy_threshold=0.5,
        label=f"fashion-{depth}x{width}",
    )
