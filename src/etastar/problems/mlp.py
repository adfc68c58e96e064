"""The network whose eta* is studied against depth and width: bias-free ReLU layers, He weights, a slow input layer.

depth = hidden layers L; weight layers = L + 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar import arguments
from etastar.core.problem import Problem
from etastar.problems.optimizers import optimizer_factory

SLOW_INPUT = 0.01
"""The input layer's rate as a multiple of the others': what "trained at a relatively small rate" means here."""
Samples = tuple[torch.Tensor, torch.Tensor]
"""(inputs [N, features], labels [N])."""


@dataclass(frozen=True)
class ReLUNetwork:
    """Makes `inputs` -> `width` x `depth` -> `outputs` without biases, W ~ N(0, 2 / fan_in); a factory for `Problem`.

    Args:
        inputs, outputs: features and classes.
        depth: hidden layers.
        width: units in each of them.
        readout_gain: the last layer's weights have variance readout_gain / fan_in; 2 is He.

    Raises:
        ProblemError: a size is not a whole number of at least 1, or the gain is not positive.

    >>> [tuple(p.shape) for p in ReLUNetwork(inputs=64, depth=2, width=8)().parameters()]
    [(8, 64), (8, 8), (10, 8)]
    """

    inputs: int
    depth: int
    width: int
    outputs: int = 10
    readout_gain: float = 2.0

    def __post_init__(self) -> None:
        for name in ("inputs", "depth", "width", "outputs"):
            arguments.UNITS(name, getattr(self, name))
        arguments.Number(0, 1e6, "a number > 0", "2 for He", open_low=True)("readout_gain", self.readout_gain)

    def __call__(self) -> nn.Sequential:
        """A network with fresh weights."""
        sizes = [self.inputs, *[self.width] * self.depth]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b, bias=False), nn.ReLU())]
        model = nn.Sequential(*hidden, nn.Linear(self.width, self.outputs, bias=False))
        linear = [module for module in model if isinstance(module, nn.Linear)]
        for layer in linear:
            gain = self.readout_gain if layer is linear[-1] else 2.0
            nn.init.normal_(layer.weight, std=(gain / layer.in_features) ** 0.5)
        return model


@dataclass(frozen=True)
class SlowInput:
    """`factory`'s optimizer with the first parameter (the input layer's weight) at `multiplier` x the others' rate."""

    factory: Callable[[nn.Module], torch.optim.Optimizer]
    multiplier: float = SLOW_INPUT

    def __post_init__(self) -> None:
        arguments.Number(0, 1e6, "a number >= 0", f"e.g. {SLOW_INPUT}")("input_multiplier", self.multiplier)

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of `model` with the groups "input" and "rest"."""
        plain = self.factory(model)
        first, *rest = model.parameters()
        lr = plain.defaults["lr"]
        settings = {name: value for name, value in plain.defaults.items() if name != "lr"}
        groups = [{"params": [first], "lr": self.multiplier * lr, "name": "input"}, {"params": rest, "name": "rest"}]
        made: Any = type(plain)
        return made(groups, lr=lr, **settings)


def mlp_problem(
    data: Samples,
    *,
    depth: int,
    width: int,
    optimizer: str = "sgd:lr=0.1",
    input_multiplier: float = SLOW_INPUT,
    readout_gain: float = 2.0,
    loss: Callable[[Any, Any], torch.Tensor] = F.cross_entropy,
    valid: Samples | None = None,
    batch_size: int = 128,
    steps: int = 100,
    accuracy_threshold: float | None = 0.5,
    seed: int = 0,
) -> Problem:
    """`depth` hidden layers of `width` on `data`, the input layer at `input_multiplier` x the rate.

    Args:
        data, valid: inputs [N, features] and class numbers [N].
        depth, width: hidden layers, and units in each.
        optimizer: as on the command line.
        input_multiplier: rate of the input layer as a multiple of the others'; 1 is ordinary training, 0 freezes it.
        readout_gain: variance of the last layer's weights times its fan-in; 2 is He.
        loss: (outputs, targets) -> scalar.
        batch_size, steps, accuracy_threshold, seed: as for `Problem`.

    >>> x, y = torch.randn(256, 5), torch.randint(0, 3, (256,))
    >>> problem = mlp_problem((x, y), depth=2, width=16)
    >>> [group["lr"] for group in problem.optimizer(problem.model()).param_groups]
    [0.001, 0.1]
    """
    inputs, labels = data
    outputs = labels.shape[1] if labels.dim() > 1 else int(labels.max()) + 1
    return Problem(
        model=ReLUNetwork(inputs.shape[1], depth, width, outputs, readout_gain),
        optimizer=SlowInput(optimizer_factory(optimizer), input_multiplier),
        loss=loss,
        train=data,
        valid=valid,
        batch_size=batch_size,
        steps=steps,
        accuracy_threshold=accuracy_threshold,
        label=f"{depth}x{width}",
        seed=seed,
    )
