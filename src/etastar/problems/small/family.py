"""`Family`: a small network and its data in three splits. `Task`: a family under an optimizer, over a number of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.core.problem import Problem
from etastar.problems.optimizers import optimizer_factory

Samples = tuple[torch.Tensor, torch.Tensor]
"""(inputs [N, ...], targets [N, ...])."""
Splits = tuple[Samples, Samples, Samples]
"""To train on, to choose by, to score on."""
OPTIMIZERS = {"sgd": "momentum:lr=0.1", "adam": "adam:lr=0.01,betas=(0.9,0.99)"}
"""Optimizers of small tasks, and the rate from which a search of the best one starts."""


@dataclass(frozen=True)
class Family:
    """A small network and its data.

    Args:
        name: of the family.
        group: families of one group are siblings.
        data: () -> the three splits.
        model: () -> the network, freshly initialised.
        loss: (outputs, targets) -> scalar, positive.
        batch_size: samples per batch.
        overfits: whether its training data are so few, or so wrong, that the loss on others rises within 800 steps.
    """

    name: str
    group: str
    data: Callable[[], Splits]
    model: Callable[[], nn.Module]
    loss: Callable[[Any, Any], torch.Tensor] = F.cross_entropy
    batch_size: int = 32
    overfits: bool = False


@dataclass(frozen=True)
class Task:
    """A family under an optimizer, over a number of steps.

    >>> from etastar.problems.small import FAMILIES
    >>> Task(FAMILIES[0], "adam", 200).name
    'digits-mlp/adam'
    """

    family: Family
    optimizer: str
    steps: int

    @property
    def name(self) -> str:
        """family/optimizer."""
        return f"{self.family.name}/{self.optimizer}"

    @property
    def group(self) -> str:
        """Of its family."""
        return self.family.group

    def problem(self, *, scored_on: str = "valid") -> Problem:
        """The task as a problem, scored on the split that choices are made by ("valid"), or on the last one ("test")."""
        train, valid, test = self.family.data()
        return Problem(
            model=self.family.model,
            optimizer=optimizer_factory(OPTIMIZERS[self.optimizer]),
            loss=self.family.loss,
            train=train,
            valid=test if scored_on == "test" else valid,
            batch_size=self.family.batch_size,
            steps=self.steps,
            label=self.name,
            name=f"small/{self.name}",
        )


def split(x: torch.Tensor, y: torch.Tensor, seed: int = 0, shares: tuple[float, float] = (0.6, 0.2)) -> Splits:
    """Shuffled once: shares to train on and to choose by, the rest to score on.

    >>> [len(x) for x, _ in split(torch.zeros(10, 2), torch.zeros(10))]
    [6, 2, 2]
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    first, second = round(shares[0] * len(x)), round(sum(shares) * len(x))
    train, valid, test = order[:first], order[first:second], order[second:]
    return (x[train], y[train]), (x[valid], y[valid]), (x[test], y[test])


def few(data: Callable[[], Splits], samples: int) -> Splits:
    """`data` with so many samples to train on."""
    (x, y), valid, test = data()
    return (x[:samples], y[:samples]), valid, test


def mislabelled(data: Callable[[], Splits], classes: int, share: float = 0.2) -> Splits:
    """`data` with a share of the training labels drawn anew, once."""
    (x, y), valid, test = data()
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(len(y), generator=generator) < share
    return (x, torch.where(drawn, torch.randint(0, classes, y.shape, generator=generator), y)), valid, test


def standardised(x: torch.Tensor) -> torch.Tensor:
    """Columns with mean 0 and variance 1."""
    return (x - x.mean(0)) / x.std(0).clamp(min=1e-8)


def chain(sizes: tuple[int, ...], activation: Callable[[], nn.Module] = nn.ReLU, *, norm: bool = False) -> nn.Sequential:
    """Linear layers with `activation` between, each hidden one behind a LayerNorm where asked."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(a, b))
        if i + 2 < len(sizes):
            layers += [nn.LayerNorm(b), activation()] if norm else [activation()]
    return nn.Sequential(*layers)
