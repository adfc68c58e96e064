"""How far the first step moves each parameter tensor relative to its size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.first_step import first_change
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading
from etastar.theory.curvature import unflat


@dataclass(frozen=True)
class UpdateRatios(Probe):
    """|change| / |w| of the optimizer's first step, over all parameters and for each tensor (`parts`).

    Tensors that are zero, as many biases are, have no ratio and are left out of `parts`.

    Args:
        lr: the rate; None: the optimizer's own.

    Raises:
        ProblemError: the rate is not a finite number > 0.
    """

    lr: float | None = None
    name: ClassVar[str] = "update ratio"
    unit: ClassVar[str] = "1"
    meaning: ClassVar[str] = "|change| / |parameters| of the first step at your rate"
    caveat: ClassVar[str] = "a habit says 1e-3; no theorem does"

    def __post_init__(self) -> None:
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise ProblemError(f"lr is {self.lr!r}; expected a finite number > 0")

    def read(self, point: Point) -> Reading:
        """One step of the optimizer, taken back."""
        lr = self.lr or point.lr
        change = first_change(point, lr)
        if not torch.isfinite(change).all():
            raise DoesNotApply(f"the step at lr {lr:.3g} is not finite")
        pieces = unflat(change, point.parameters)
        norms = [(float(c.norm()), float(p.detach().double().norm())) for c, p in zip(pieces, point.parameters, strict=True)]
        parts = {name: c / w for name, (c, w) in zip(point.names, norms, strict=True) if w > 0}
        size = math.hypot(*(w for _, w in norms))
        if size == 0:
            raise DoesNotApply("all parameters are zero")
        value = float(change.norm()) / size
        largest = max(parts, key=lambda name: parts[name])
        return self.found(
            value,
            value,
            value,
            n=point.samples,
            method=f"one step at lr {lr:.3g}",
            cost=1,
            says=f"largest in {largest}: {parts[largest]:.2g}",
            parts=parts,
        )
