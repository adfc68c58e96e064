"""How far every layer's output has moved since initialisation, and by which route."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrize import is_parametrized

from etastar.core.batch import Batch, tensors_in
from etastar.core.monitor import Readings, check_every
from etastar.core.objective import without_graph
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply
from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.standing import kept, standing_point
from etastar.probes.point import Point

Weights = dict[str, torch.Tensor]
See = Callable[[str, nn.Module, tuple[Any, ...], dict[str, Any], torch.Tensor], None]
ROUTES = ("size", "moved", "by_weights", "by_inputs")


@dataclass(frozen=True)
class _Start:
    """The kept batch, and of every layer its first weights and what it said then, call after call."""

    batch: Batch
    weights: Mapping[str, Weights]
    outputs: Mapping[str, list[torch.Tensor]]


@dataclass(frozen=True)
class MoveMonitor:
    """How far each layer's output z on the kept batch has moved since initialisation, in two parts that add up to it:

        z - z_0 = [f(x, W) - f(x, W_0)] + [f(x, W_0) - f(x_0, W_0)],     for a linear layer  (W - W_0) x + W_0 (x - x_0)

    by its own update (`by_weights`) and by what earlier layers did (`by_inputs`), as root mean squares over samples and
    units; `size` is that of z. A parametrisation transfers when neither part grows or vanishes with the width, in any layer;
    the sum alone hides which of the two does. A layer is a module with a weight matrix; one with a dropout of its own has
    no parts (NaN): it says something else each time it is asked.

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
        outputs: dict[str, list[torch.Tensor]] = {}
        with standing_point(setup, kept(batch)) as point:
            weights = {name: {p: w.detach().clone() for p, w in own.named_parameters()} for name, own in layers.items()}

            def see(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], z: torch.Tensor) -> None:
                outputs.setdefault(name, []).append(z.clone())  # an activation in place may write to it next

            _forward(point, layers, see, outputs.clear)
            if not outputs:
                raise DoesNotApply("the model calls no module with a weight matrix; there is no layer to follow")
            return _Start(point.batch, weights, outputs)

    def look(self, step: int, setup: Setup, state: _Start) -> tuple[Readings, _Start]:
        """Four numbers a layer, in the order of the forward pass."""
        layers = {name: own for name, own in weighty(setup.model).items() if name in state.outputs}
        squares: dict[str, list[torch.Tensor]] = {}

        def see(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], z: torch.Tensor) -> None:
            calls = squares.setdefault(name, [])
            z_0 = _at(state.outputs[name], len(calls), z)
            carried = z * torch.nan if _draws(module) else _first(functional_call(module, state.weights[name], args, kwargs))
            calls.append(torch.stack([_mean_square(part) for part in (z, z - z_0, z - carried, carried - z_0)]))

        with standing_point(setup, state.batch) as point:
            _forward(point, layers, see, squares.clear)
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


def _forward(point: Point, layers: Mapping[str, nn.Module], see: See, again: Callable[[], None]) -> None:
    """One pass over the point's batch; `see` is told of every call of a layer, `again` that the pass begins (anew)."""

    def once() -> torch.Tensor:
        again()
        return point.objective()

    with _seen(layers, see):
        without_graph(once)


@contextmanager
def _seen(layers: Mapping[str, nn.Module], see: See) -> Iterator[None]:
    inside: list[str] = []  # the layer that `see` asks again

    def hook(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not inside:
            inside.append(name)
            with torch.no_grad():
                see(name, module, args, kwargs, _first(output))
            inside.clear()

    handles = [own.register_forward_hook(partial(hook, name), with_kwargs=True) for name, own in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first(output: Any) -> torch.Tensor:
    """The first tensor a module returns."""
    return tensors_in(output)[0].detach()


def _at(outputs: list[torch.Tensor], call: int, like: torch.Tensor) -> torch.Tensor:
    """What the layer said in this call at first; NaN where it was not called as often, or of another shape."""
    same = call < len(outputs) and outputs[call].shape == like.shape
    return outputs[call] if same else torch.full_like(like, torch.nan)


def _draws(module: nn.Module) -> bool:
    """Whether the layer has a dropout of its own."""
    share = getattr(module, "dropout", 0.0)
    return module.training and isinstance(share, float) and share > 0


def _mean_square(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x).square() / x.numel()
