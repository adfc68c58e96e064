"""How large every block's weights and gradient are, and how much the weights have changed since the last look."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from etastar.core.batch import Batch
from etastar.core.monitor import Readings, check_every
from etastar.core.setup import Setup
from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.standing import kept, standing_point


@dataclass(frozen=True)
class _Last:
    batch: Batch
    weights: dict[str, torch.Tensor]


@dataclass(frozen=True)
class NormMonitor:
    """Of every module with trained parameters w of its own:

        norm = |w|,    grad_norm = |g| on the kept batch,    change = |w - w at the last look| / |w|   (0 at the first).

    Args:
        every: steps between two looks.

    Raises:
        ProblemError: it is no integer >= 1.
    """

    every: int
    name: ClassVar[str] = "norms"
    drawn: ClassVar[tuple[Drawn, ...]] = (
        Drawn(
            "change",
            "how much weights change between two looks, as a share of their length",
            "Each line is one module, the first pale and the last dark. What stands still learns nothing.",
        ),
    )

    def __post_init__(self) -> None:
        check_every(self)

    def init(self, setup: Setup, batch: Batch) -> _Last:
        """The kept batch, and the weights before training."""
        return _Last(kept(batch), {name: _flat(own).clone() for name, own in _blocks(setup.model).items()})

    def look(self, step: int, setup: Setup, state: _Last) -> tuple[Readings, _Last]:
        """Three numbers a block."""
        with standing_point(setup, state.batch) as point:
            gradients = {id(p): g for p, g in zip(point.stepped, point.gradients(), strict=True) if g is not None}
            rows, weights = [], {}
            for name, own in _blocks(setup.model).items():
                w = weights[name] = _flat(own).clone()
                g = [gradients[id(p)].reshape(-1) for p in own if id(p) in gradients]
                norm = float(w.norm())
                change = float((w - state.weights[name]).norm())
                rows += [
                    (name, "norm", norm),
                    (name, "grad_norm", float(torch.cat(g).norm()) if g else 0.0),
                    (name, "change", change / norm if norm else float("nan")),
                ]
        return rows, replace(state, weights=weights)


def _blocks(model: nn.Module) -> dict[str, list[torch.Tensor]]:
    """name of a module -> its own trained parameters; a shared one belongs to the first."""
    found: dict[str, list[torch.Tensor]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            found.setdefault(name.rpartition(".")[0], []).append(p)
    return found


def _flat(parameters: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(
        [p.detach().reshape(-1).float() if p.dtype.itemsize < 4 else p.detach().reshape(-1) for p in parameters]
    )
