"""The tasks of the bake-off: small networks on real data, under several optimizers, schedules and horizons."""

from __future__ import annotations

import copy
import gzip
import itertools
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

from etastar.core.problem import Problem
from etastar.problems.digits import Transformer, cnn, he, mlp

FASHION = Path(os.environ.get("ETASTAR_FASHION", "data/fashion-mnist"))
"""Folder of Fashion-MNIST's IDX files."""
Tensors = tuple[torch.Tensor, torch.Tensor]
Split = tuple[Tensors, Tensors]

OPTIMIZERS: dict[str, Callable[[nn.Module, float], torch.optim.Optimizer]] = {
    "momentum": lambda model, lr: torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
    "adam": lambda model, lr: torch.optim.Adam(model.parameters(), lr=lr),
    "adamw": lambda model, lr: torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.1),
}
DEFAULT_LR = {"momentum": 0.1, "adam": 1e-3, "adamw": 1e-3}
SCHEDULES = ("constant", "warmup-cosine", "wsd")
HORIZONS = (160, 640)
SLOW = ("transformer", "cnn")
"""Tasks too slow for all optimizers on two cores."""


@dataclass(frozen=True)
class Task:
    """A network and its data.

    Args:
        data: () -> ((inputs, targets) to train on, (inputs, targets) held out).
        model: () -> the network, freshly initialised.
        loss: (outputs, targets) -> scalar.
        regression: whether the loss is a squared error; half its logarithm then counts as nats.
    """

    name: str
    data: Callable[[], Split]
    model: Callable[[], nn.Module]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy
    batch_size: int = 64
    regression: bool = False

    def nats(self, loss: float) -> float:
        """A held-out loss in nats."""
        return 0.5 * math.log(loss) if self.regression else loss


@dataclass(frozen=True)
class Case:
    """A task under one optimizer, schedule and horizon: one learning rate to be found."""

    task: Task
    optimizer: str
    schedule: str
    steps: int

    @property
    def name(self) -> str:
        """task/optimizer/schedule/steps."""
        return f"{self.task.name}/{self.optimizer}/{self.schedule}/{self.steps}"

    def problem(self, lr: float | None = None) -> Problem:
        """As a user would write it, with `lr` as the rate in use (the optimizer's default)."""
        return make_problem(self.task.name, self.optimizer, self.schedule, self.steps, lr or DEFAULT_LR[self.optimizer])


def make_problem(task: str, optimizer: str, schedule: str, steps: int, lr: float) -> Problem:
    """The `Problem` of a case."""
    own = TASKS[task]
    train, valid = _data(task)
    return Problem(
        model=own.model,
        optimizer=partial(OPTIMIZERS[optimizer], lr=lr),
        loss=own.loss,
        train=train,
        valid=valid,
        batch_size=own.batch_size,
        steps=steps,
        schedule=schedule,
        name=f"bakeoff/{task}/{optimizer}",
    )


@cache
def _data(task: str) -> Split:
    return TASKS[task].data()


def _split(x: torch.Tensor, y: torch.Tensor, train: int, standardise: str = "all") -> Split:
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    own = x[:train]
    mean, std = (own.mean(), own.std()) if standardise == "all" else (own.mean(0), own.std(0) + 1e-9)
    x = (x - mean) / std
    return (x[:train], y[:train]), (x[train:], y[train:])


def _digits(keep: Callable[[np.ndarray], np.ndarray] | None = None) -> Tensors:
    data = load_digits()
    chosen = slice(None) if keep is None else keep(data.target)
    return torch.tensor(data.data[chosen], dtype=torch.float32), torch.tensor(data.target[chosen]).long()


def digits() -> Split:
    """1000 digits to train on, 797 held out."""
    return _split(*_digits(), train=1000)


def upper_half() -> Split:
    """Predict the lower half of a digit from its upper half."""
    x, _ = _digits()
    (train, _), (valid, _) = _split(x, torch.zeros(len(x)), train=1000)
    return (train[:, :32], train[:, 32:]), (valid[:, :32], valid[:, 32:])


def breast_cancer() -> Split:
    """256 tumours to train on, 313 held out: it overfits."""
    data = load_breast_cancer()
    return _split(torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target).long(), 256, "each")


def later_digits() -> Split:
    """Digits 5 .. 9, as classes 0 .. 4: 400 to train on, the rest held out."""
    x, y = _digits(lambda target: target >= 5)
    return _split(x, y - 5, train=400)


@cache
def _pretrained() -> dict[str, torch.Tensor]:
    """A network trained on digits 0 .. 4."""
    (x, y), _ = _split(*_digits(lambda target: target < 5), train=700)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(200):
            pick = torch.randint(len(y), (64,))
            optimizer.zero_grad()
            F.cross_entropy(model(x[pick]), y[pick]).backward()
            optimizer.step()
    return model.state_dict()


def fine_tuned() -> nn.Module:
    """The pre-trained network with a fresh last layer."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    own = {k: v for k, v in copy.deepcopy(_pretrained()).items() if not k.startswith("4.")}
    model.load_state_dict(own, strict=False)
    return model


def fashion(side: int) -> Split:
    """4000 Fashion-MNIST images to train on, 2000 held out, pooled to side x side."""

    def read(name: str) -> np.ndarray:
        with gzip.open(FASHION / name, "rb") as file:
            _, _, dims = struct.unpack(">HBB", file.read(4))
            shape = struct.unpack(f">{dims}I", file.read(4 * dims))
            return np.frombuffer(file.read(), dtype=np.uint8).reshape(shape)

    x = torch.tensor(read("train-images-idx3-ubyte.gz")[:6000]).float()[:, None]
    x = F.adaptive_avg_pool2d(x, side).flatten(1)
    return _split(x, torch.tensor(read("train-labels-idx1-ubyte.gz")[:6000]).long(), train=4000)


def plain(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between."""
    layers = [layer for a, b in itertools.pairwise(sizes[:-1]) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def batchnorm_cnn() -> nn.Sequential:
    """Two strided convolutions with BatchNorm on 14 x 14 images."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 14, 14)),
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 16, 10),
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("mlp3", digits, lambda: mlp(3, 64)),
        Task("cnn", digits, lambda: cnn(8)),
        Task("deep", digits, lambda: he(mlp(12, 64))),
        Task("transformer", digits, lambda: Transformer(2, 16, 2)),
        Task("fashion-mlp", partial(fashion, 14), lambda: plain(196, 64, 64, 10)),
        Task("fashion-bn", partial(fashion, 14), batchnorm_cnn, batch_size=32),
        Task("fine-tune", later_digits, fine_tuned, batch_size=32),
        Task("regression", upper_half, lambda: plain(32, 64, 64, 32), F.mse_loss, regression=True),
        Task("overfit", breast_cancer, lambda: plain(30, 64, 64, 2), batch_size=32),
    )
}


def cases(tasks: list[str] | None = None, horizons: tuple[int, ...] = HORIZONS) -> list[Case]:
    """Every case of the bake-off."""
    return [
        Case(TASKS[task], optimizer, schedule, steps)
        for task in tasks or TASKS
        for optimizer in (("momentum", "adam") if task in SLOW else OPTIMIZERS)
        for schedule in SCHEDULES
        for steps in horizons
    ]
