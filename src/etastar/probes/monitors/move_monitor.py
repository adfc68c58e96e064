"""How far every layer's output has moved since initialisation, and by which route."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from etastar.core.batch import Batch
from etastar.core.monitor import Readings, check_every
from etastar.core.objective import without_graph
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply
from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.standing import kept, standing_point
from etastar.probes.point import Point
from etastar.probes.stability.passes import Pass, again, passes_through, weights_of

ROUTES = ("size", "moved", "by_weights", "by_inputs")


@dataclass(frozen=True)
class _Start:
    """The kept batch, and of every layer its first weights and what it said then, pass by pass."""

    batch: Batch
    weights: Mapping[str, Mapping[str, torch.Tensor]]
    outputs: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class MoveMonitor:
    """How far each layer's output z on the kept batch has moved since initialisation, in two parts that add up to it:

        z - z_0 = [f(x, W) - f(x, W_0)] + [f(x, W_0) - f(x_0, W_0)],     for a linear layer  (W - W_0) x + W_0 (x - x_0)

    by its own update (`by_weights`) and by what earlier layers did (`by_inputs`), as root mean squares over samples and
    units; `size` is that of z. A parametrisation transfers when neither part grows or vanishes with the width, in any layer;
    the sum alone hides which of the two does. A layer is a module with a weight matrix. It is the split of `StabilityProbe`,
    since the start and in units of the output.

    Args:
        every: steps between two looks.

    Raises:
        ProblemError: it is no integer >= 1.

    Source: Haas et al. 2025 (arXiv 2505.22491), the refined coordinate check.
    """

    every: int
    name: ClassVar[str] = "move"
    drawn: ClassVar[tuple[Drawn, ...]] = (
        Drawn(
            "moved",
            "how far layers have moved, as a share of their first outputs",
            "Each line is one layer, the first pale and the last dark: the root mean square of its output's change since "
            "initialisation, over that of its first output. Near 0 it learns nothing; far above 1 its start is forgotten.",
            share_of="size",
        ),
    )

    def __post_init__(self) -> None:
        check_every(self)

    def init(self, setup: Setup, batch: Batch) -> _Start:
        """What every layer says of the batch before training, and its weights."""
        layers = weighty(setup.model)
        with standing_point(setup, kept(batch)) as point:
            said = {own.name: own for own in _passes(point, layers, inputs=False)}
            if not said:
                raise DoesNotApply("the model calls no module with a weight matrix; there is no layer to follow")
            weights = {own.block: weights_of(layers[own.block]) for own in said.values()}
            return _Start(point.batch, weights, {name: own.output for name, own in said.items()})

    def look(self, step: int, setup: Setup, state: _Start) -> tuple[Readings, _Start]:
        """Four numbers a layer, in the order of the forward pass."""
        layers = {name: own for name, own in weighty(setup.model).items() if name in state.weights}
        squares: dict[str, list[torch.Tensor]] = {}
        with standing_point(setup, state.batch) as point, torch.no_grad():
            for own in _passes(point, layers, inputs=True):
                z, z_0 = own.output, _like(own.output, state.outputs.get(own.name))
                carried = torch.full_like(z, math.nan)
                if own.given is not None:
                    carried, _ = again(layers[own.block], own.given, state.weights[own.block])
                parts = (z, z - z_0, z - carried, carried - z_0)
                squares.setdefault(own.block, []).append(torch.stack([_mean_square(part) for part in parts]))
        rms = {name: torch.stack(calls).mean(0).sqrt().tolist() for name, calls in squares.items()}
        return [(name, route, x) for name, own in rms.items() for route, x in zip(ROUTES, own, strict=True)], state


def weighty(model: nn.Module) -> dict[str, nn.Module]:
    """name -> module with a weight matrix, the innermost ones; attention and parametrised modules as a whole.

    >>> list(weighty(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.MultiheadAttention(2, 1))))
    ['0', '2']
    """
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") or not outer for outer in found)
        whole = isinstance(module, nn.MultiheadAttention) or is_parametrized(module)
        own = any(p.dim() > 1 for p in module.parameters(recurse=False)) and not any(
            any(True for _ in child.parameters()) for child in module.children()
        )
        if not inside and (own or whole):
            found[name] = module
    return found


def _passes(point: Point, layers: Mapping[str, nn.Module], *, inputs: bool) -> list[Pass]:
    """Every call of a layer in one pass over the point's batch."""

    def once() -> list[Pass]:
        with passes_through(layers, signals=False, inputs=inputs) as seen:
            point.objective()
        return seen

    return [own.without_graph() for own in without_graph(once)]


def _like(z: torch.Tensor, first: torch.Tensor | None) -> torch.Tensor:
    """What the layer said in this pass at first; NaN where it was not called as often, or of another shape."""
    return first if first is not None and first.shape == z.shape else torch.full_like(z, math.nan)


def _mean_square(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x).square() / x.numel()
