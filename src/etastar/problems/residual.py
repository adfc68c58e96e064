"""Deep networks with and without residual connections and normalisation, at equal width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from etastar import arguments


class Block(nn.Module):
    """z = W phi(x), phi = ReLU, after LayerNorm where asked for; x + z with a residual connection."""

    def __init__(self, width: int, *, residual: bool, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.weight = nn.Linear(width, width, bias=False)
        self.residual = residual
        nn.init.kaiming_normal_(self.weight.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, width] -> [B, width]."""
        z = self.weight(torch.relu(self.norm(x)))
        return x + z if self.residual else z


@dataclass(frozen=True)
class DeepNetwork:
    """Makes `inputs` -> `width`, then depth - 1 blocks, LayerNorm where asked for, ReLU, readout; a factory for `Problem`.

    Hidden weights ~ N(0, 2 / fan_in); the input layer's ~ N(0, 1 / fan_in), which gives pre-activations of variance 1.

    Args:
        inputs, outputs: features and classes.
        depth: hidden layers; weight layers are depth + 1.
        width: units in each of them.
        residual: x + f(x) around every block.
        norm: LayerNorm before every ReLU.

    >>> sum(p.numel() for p in DeepNetwork(64, depth=3, width=8)().parameters())
    720
    """

    inputs: int
    depth: int
    width: int
    outputs: int = 10
    residual: bool = False
    norm: bool = False

    def __post_init__(self) -> None:
        for name in ("inputs", "depth", "width", "outputs"):
            arguments.UNITS(name, getattr(self, name))

    def __call__(self) -> nn.Sequential:
        """A network with fresh weights."""
        first = nn.Linear(self.inputs, self.width, bias=False)
        nn.init.normal_(first.weight, std=self.inputs**-0.5)
        blocks = [Block(self.width, residual=self.residual, norm=self.norm) for _ in range(self.depth - 1)]
        last = [nn.LayerNorm(self.width)] if self.norm else []
        readout = nn.Linear(self.width, self.outputs, bias=False)
        nn.init.normal_(readout.weight, std=self.width**-0.5)
        return nn.Sequential(first, *blocks, *last, nn.ReLU(), readout)
