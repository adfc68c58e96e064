"""Sharpness over a training: does the curvature rise to the edge of stability, and does the rate stay below it?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from etastar import arguments
from etastar.core.batch import Batch
from etastar.core.monitor import Readings, check_every
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply
from etastar.probes.edge import edge_of
from etastar.probes.monitors.drawn import Drawn
from etastar.probes.monitors.standing import kept, standing_point
from etastar.theory.lanczos import MAX_PRODUCTS, WARM_PRODUCTS, TopEigenvalue, top_nearby


@dataclass(frozen=True)
class _LastTop:
    batch: Batch
    vector: torch.Tensor | None = None


@dataclass(frozen=True)
class SharpnessMonitor:
    """lambda1, the largest eigenvalue of the Hessian of the loss on the kept batch, and how near the rate is to its edge:

        edge_ratio = lr x lambda1 / factor,        factor of `edge_of`: 2 for gradient descent, 2 (1 + b) for momentum b.

    Above 1 a quadratic of this curvature would diverge. NaN where no edge is known, groups have rates of their own, or the
    optimizer is adaptive. Lanczos begins at the eigenvector of the last look.

    Args:
        every: steps between two looks.
        products: Hessian-vector products a look may take (the first twice as many); each costs about 2 gradients.

    Raises:
        ProblemError: one of them is no integer in its range.

    Source: Cohen et al. 2021 (arXiv 2103.00065).
    """

    every: int
    products: int = WARM_PRODUCTS
    name: ClassVar[str] = "sharpness"
    drawn: ClassVar[tuple[Drawn, ...]] = (
        Drawn(
            "edge_ratio",
            "learning rate x lambda1, as a share of the edge",
            "lambda1 is the largest curvature of the loss. Above the edge a quadratic of this curvature would diverge; "
            "large rates make networks rise to it and stay near it.",
            mark=1.0,
            mark_name="edge of stability",
        ),
        Drawn(
            "lambda1",
            "lambda1, the largest curvature of the loss",
            "No edge is known for this optimizer and its groups: compare the curvature with its own start.",
            instead=True,
        ),
    )

    def __post_init__(self) -> None:
        check_every(self)
        arguments.Whole(1, MAX_PRODUCTS)("products", self.products)

    def init(self, setup: Setup, batch: Batch) -> _LastTop:
        """The kept batch; no eigenvector is known yet."""
        return _LastTop(kept(batch))

    def look(self, step: int, setup: Setup, state: _LastTop) -> tuple[Readings, _LastTop]:
        """lambda1 with its error bound, and the edge ratio."""
        top = self._top(setup, state)
        readings = [("", "lambda1", top.value), ("", "bound", top.bound), ("", "edge_ratio", _edge_ratio(setup, top.value))]
        return readings, replace(state, vector=top.vector) if top.finite else state

    def _top(self, setup: Setup, state: _LastTop) -> TopEigenvalue:
        with standing_point(setup, state.batch) as point:
            if point.refusal:
                raise DoesNotApply(point.refusal)
            return top_nearby(point.hessian(), state.vector, self.products)


def _edge_ratio(setup: Setup, top: float) -> float:
    """lr x lambda1 / factor; NaN without an edge."""
    edge = edge_of(setup.optimizer)
    rates = {float(group["lr"]) for group in setup.optimizer.param_groups if any(p.requires_grad for p in group["params"])}
    if edge.factor is None or edge.adaptive or len(rates) > 1:
        return math.nan
    return rates.pop() * top / edge.factor
