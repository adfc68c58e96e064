"""Curvature along one direction: the gradient's, or that of the optimizer's own first update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from etastar.core.estimate import Status
from etastar.core.kinds import is_plain_sgd
from etastar.errors import DoesNotApply
from etastar.probes.first_step import first_direction
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading

ROUNDING = 256
"""Of the floating-point type's eps, relative to |Hu| |u|: u'Hu may be small because large parts of it cancel."""


@dataclass(frozen=True)
class GradientCurvature(Probe):
    """g'Hg / g'g: the curvature along the gradient; one Hessian product. At most lambda1.

    2 / this is where one gradient step stops lowering the quadratic model of the loss.
    """

    name: ClassVar[str] = "curvature along gradient"
    unit: ClassVar[str] = "loss / parameter^2"
    meaning: ClassVar[str] = "g'Hg / g'g"
    caveat: ClassVar[str] = "sees one direction only, and none of the kinks of ReLU"

    def read(self, point: Point) -> Reading:
        """One product."""
        g = point.gradient()
        return _directional(self, point, -g, g, plain=True)


@dataclass(frozen=True)
class UpdateCurvature(Probe):
    """u'Hu / (-u'g) with u the optimizer's own first update per unit of rate: 2 / this predicts the critical rate.

    On a quadratic the prediction is exact. Momentum, clipping, weight decay and group multipliers are in u.

    Source: Kalra et al. 2026 (arXiv 2601.16979), directional sharpness.
    """

    name: ClassVar[str] = "curvature along update"
    unit: ClassVar[str] = "1 / learning rate"
    meaning: ClassVar[str] = "u'Hu / (-u'g), u the optimizer's first update"
    caveat: ClassVar[str] = "a quadratic model of one step; compare with eta_c, which is measured"

    def read(self, point: Point) -> Reading:
        """One product, after a few steps of the optimizer that are taken back."""
        u, linear = first_direction(point, point.lr)
        if not torch.isfinite(u).all():
            raise DoesNotApply("the optimizer's first step is not finite")
        note = "" if linear else "the first step is not proportional to the rate; taken at yours"
        return _directional(self, point, u.to(point.parameters[0]), point.gradient(), note=note)


def _directional(
    probe: Probe, point: Point, u: torch.Tensor, g: torch.Tensor, *, plain: bool = False, note: str = ""
) -> Reading:
    slope, bend, rounding = slope_and_bend(point, u, g)
    if slope <= 0:
        return probe.refuse("the update does not point downhill here", Status.FLAT, n=point.samples)
    value, rounding = bend / slope, rounding / slope
    rate = 2 / value if value > 0 else None
    if plain and not is_plain_sgd(point.optimizer):
        says, rate = "says nothing about this optimizer's steps", None
    elif rate is None:
        says = "the loss curves downwards along this step: a quadratic model gives no limit"
    else:
        says = "2 / curvature: the quadratic model's critical rate"
    method = "1 product" + (f"; {note}" if note else "")
    return probe.found(
        value, value - rounding, value + rounding, n=point.samples, method=method, cost=5, says=says, rate=rate
    )


def slope_and_bend(point: Point, u: torch.Tensor, g: torch.Tensor) -> tuple[float, float, float]:
    """(-u'g, u'Hu, rounding error of the latter); the product is that of a unit vector, so that nothing overflows."""
    length = float(u.double().norm())
    if length == 0:
        raise DoesNotApply("all gradients are zero: there is no direction to step in")
    unit = (u.double() / length).to(u.dtype)
    bent = point.hessian()(unit).double()
    if not torch.isfinite(bent).all():
        raise DoesNotApply("a product with the Hessian is not finite")
    error = ROUNDING * torch.finfo(u.dtype).eps * float(bent.norm())
    return -float(u.double() @ g.double()), length**2 * float(bent @ unit.double()), length**2 * error
