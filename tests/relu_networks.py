"""Bias-free ReLU networks with He's initialisation on digits, as the closed forms know them, and their sharpness."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from etastar import Point, Sharpness
from etastar.core.randomness import isolated_randomness
from etastar.problems.digits import load

LOSSES: dict[str, Callable] = {
    "mse_half": lambda z, t: 0.5 * (z - t).square().sum(1).mean(),
    "mse": F.mse_loss,
    "cross_entropy": F.cross_entropy,
    "bce": F.binary_cross_entropy_with_logits,
}


def widths_of(width: int, layers: int, outputs: int = 10) -> list[int]:
    """64 inputs, `layers` weight layers."""
    return [64, *[width] * (layers - 1), outputs]


def relu_network(widths: list[int], seed: int = 0, readout_gain: float = 2.0) -> nn.Sequential:
    """Weights ~ N(0, 2 / fan_in), the last layer's ~ N(0, readout_gain / fan_in)."""
    with isolated_randomness():
        torch.manual_seed(seed)
        linears = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
        with torch.no_grad():
            for linear in linears:
                gain = readout_gain if linear is linears[-1] else 2.0
                linear.weight.normal_().mul_((gain / linear.in_features) ** 0.5)
        layers: list[nn.Module] = [layer for linear in linears for layer in (linear, nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def digits(samples: int = 256, loss: str = "mse_half") -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised digits with targets as `loss` wants them."""
    (x, y), _ = load()
    x, y = x[:samples], y[:samples]
    return x, y if loss == "cross_entropy" else F.one_hot(y, 10).to(x.dtype)


def point(model: nn.Module, loss: str = "mse_half", input_multiplier: float = 1.0, samples: int = 256) -> Point:
    """The network at its initialisation; the input layer at a rate of its own."""
    first, *rest = model.parameters()
    groups = [{"params": [first], "lr": input_multiplier}, {"params": rest, "lr": 1.0}] if rest else [{"params": [first]}]
    return Point(model=model, optimizer=torch.optim.SGD(groups, lr=1.0), batch=digits(samples, loss), loss=LOSSES[loss])


def measured_sharpness(model: nn.Module, loss: str = "mse_half", samples: int = 256) -> float:
    """lambda1 of the Hessian."""
    value = Sharpness(1e-2)(point(model, loss, samples=samples)).value
    assert value is not None
    return value
