"""Coordinate check: how much every layer's activations move in the first steps, and by which route."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import nn

from etastar.core.batch import Batch
from etastar.core.data import stream
from etastar.core.kept import unmoved
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.core.setup import set_up, to


@dataclass(frozen=True)
class LayerMove:
    """One linear layer z = W x after some steps; all are root mean squares over samples and units.

    Args:
        layer: its name in the model.
        size: of z.
        moved: of z - z_0.
        by_weights: of (W - W_0) x, the layer's own update.
        by_inputs: of W_0 (x - x_0), what earlier layers did.
    """

    layer: str
    size: float
    moved: float
    by_weights: float
    by_inputs: float


def coordinate_check(
    problem: Problem, lr: float, *, steps: int = 3, seed: int = 0, device: torch.device | str = "cpu"
) -> list[LayerMove]:
    """What `steps` steps at rate `lr` do to the outputs of every linear layer, on one batch that is not trained on.

        z - z_0 = (W - W_0) x + W_0 (x - x_0)

    A parametrisation transfers when neither term grows or vanishes with the width, in any layer. The sum alone hides which
    of the two does (Haas et al. 2025, arXiv 2505.22491, the refined coordinate check).

    Args:
        problem: made of parts; its model has `nn.Linear` layers, all used.
        lr, steps, seed: of the short training.

    Returns:
        One entry per linear layer in the order of the forward pass; a loss that stops being finite gives infinite numbers.
    """
    lane = derive_seed(seed, "coordinates")
    with (
        isolated_randomness(),
        steady_numerics(),
        unmoved(*problem.judges),
        closing(stream(problem.parts.batches, lane)) as batches,
    ):
        probe = next(batches)
        setup = set_up(problem, lane, device=device, example=probe)
        probe = to(probe, device)
        first = _layers(problem, setup.model, probe)
        weights = {name: module.weight.detach().clone() for name, module in _linear(setup.model)}
        setup.set_lr(lr)
        for _ in range(steps):
            setup.optimizer.zero_grad()
            loss, _ = loss_and_accuracy(problem, setup.model, to(next(batches), device))
            loss.backward()
            setup.optimizer.step()
        last = _layers(problem, setup.model, probe)
        found = []
        for name, module in _linear(setup.model):
            if name not in first:
                continue
            (x_0, z_0), (x, z) = first[name], last[name]
            with torch.no_grad():
                own = nn.functional.linear(x, module.weight - weights[name])
                carried = nn.functional.linear(x - x_0, weights[name])
            found.append(LayerMove(name, _rms(z), _rms(z - z_0), _rms(own), _rms(carried)))
        return found


def _linear(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def _layers(problem: Problem, model: nn.Module, batch: Batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """name -> (inputs, outputs) of every linear layer in one forward pass, in its order."""
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def remember(name: str) -> Callable[..., None]:
        return lambda _module, x, z: seen.__setitem__(name, (x[0].detach(), z.detach()))

    handles = [module.register_forward_hook(remember(name)) for name, module in _linear(model)]
    try:
        with torch.no_grad():
            loss_and_accuracy(problem, model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _rms(x: torch.Tensor) -> float:
    value = float(x.double().square().mean().sqrt())
    return value if value == value else float("inf")
