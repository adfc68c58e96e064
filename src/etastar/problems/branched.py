"""ReLU networks whose layers form a graph."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

Edges = tuple[tuple[int, int], ...]


class Branched(nn.Module):
    """z_0 = W x;  z_b = sum over edges (a, b) of W_ab relu(z_a);  output = W relu(z_last).

    Weights into b have variance 2 / (edges into b x width), which keeps E z^2 from the first vertex to the last.
    """

    def __init__(self, inputs: int, edges: Edges, width: int, outputs: int, readout_gain: float) -> None:
        super().__init__()
        into = Counter(b for _, b in edges)
        self.edges = sorted(edges, key=lambda edge: (edge[1], edge[0]))
        self.last = max(b for _, b in edges)
        self.first = nn.Linear(inputs, width, bias=False)
        nn.init.normal_(self.first.weight, std=inputs**-0.5)
        self.between = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.edges)
        for (_, b), layer in zip(self.edges, self.between, strict=True):
            nn.init.normal_(layer.weight, std=(2 / (into[b] * width)) ** 0.5)  # type: ignore[arg-type]
        self.readout = nn.Linear(width, outputs, bias=False)
        nn.init.normal_(self.readout.weight, std=(readout_gain / width) ** 0.5)

    def vertices(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Pre-activations of every vertex, each [B, width]."""
        z: list[torch.Tensor | None] = [None] * (self.last + 1)
        z[0] = self.first(x)
        for (a, b), layer in zip(self.edges, self.between, strict=True):
            before = z[a]
            assert before is not None, "edges lead from smaller to larger vertices"
            came = layer(torch.relu(before))
            own = z[b]
            z[b] = came if own is None else own + came
        return [v for v in z if v is not None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs] -> [B, outputs]."""
        return self.readout(torch.relu(self.vertices(x)[-1]))


@dataclass(frozen=True)
class BranchedNetwork:
    """Makes the network of a graph; a factory for `Problem`.

    Args:
        inputs, outputs: features and classes.
        edges: (from, to) with from < to; vertices 0 .. last, each a layer of `width` pre-activations.
        width: units a vertex.
        readout_gain: the last layer's weights have variance readout_gain / width.

    >>> sum(p.numel() for p in BranchedNetwork(64, ((0, 1), (0, 2), (1, 2)), width=8)().parameters())
    784
    """

    inputs: int
    edges: Edges
    width: int
    outputs: int = 10
    readout_gain: float = 1.0

    def __call__(self) -> Branched:
        """A network with fresh weights."""
        return Branched(self.inputs, self.edges, self.width, self.outputs, self.readout_gain)
