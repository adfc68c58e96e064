"""One best step of gradient descent and one of Newton's method on the same batch: what curvature is worth, in loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from etastar.core.estimate import Status
from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.directional import slope_and_bend
from etastar.probes.first_step import value_after
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading

PRODUCTS = 10
DAMPINGS = (1.0, 0.3, 0.1, 0.03, 0.01)
HALVINGS = 6


@dataclass(frozen=True)
class CauchyStep(Probe):
    """g'g / g'Hg: the rate at which one step of gradient descent lowers the quadratic model of the loss most.

    With group multipliers D the step is -lr D g and the rate g'Dg / g'DHDg. `parts` has the loss before and after that step.

    >>> x = torch.nn.Parameter(torch.ones(1))
    >>> model = torch.nn.ParameterList([x])
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> point = Point(model=model, optimizer=sgd, batch=torch.tensor(4.0), loss_fn=lambda m, h: 0.5 * h * (m[0] ** 2).sum())
    >>> reading = CauchyStep()(point)
    >>> round(reading.value, 4), round(reading.parts["loss_after"], 6)
    (0.25, 0.0)

    Source: Cauchy 1847; eta_max of McCandlish et al. 2018 (arXiv 1812.06162).
    """

    name: ClassVar[str] = "Cauchy step"
    unit: ClassVar[str] = "learning rate"
    meaning: ClassVar[str] = "g'g / g'Hg, the best single step of gradient descent"
    caveat: ClassVar[str] = "greedy: rates that win one step lose the run"

    def read(self, point: Point) -> Reading:
        """One gradient, one product, two forward passes."""
        g = point.gradient()
        step = -point.multipliers * g
        slope, bend, rounding = slope_and_bend(point, step, g)
        if bend <= rounding:
            return self.refuse("the loss does not curve upwards along the gradient: no best step", Status.FLAT)
        value = slope / bend
        return self.found(
            value,
            slope / (bend + rounding),
            slope / (bend - rounding),
            n=point.samples,
            method="1 product",
            cost=4,
            says="the largest decrease of the quadratic model in one step of gradient descent",
            rate=value,
            parts=_decrease(point, value * step),
        )


@dataclass(frozen=True)
class NewtonStep(Probe):
    """Loss decrease of one damped Newton step over that of the best step of gradient descent, same batch, same point.

    p = -(|H| + d I)^-1 g in the Krylov space of g: where the curvature is positive, what conjugate gradients would return
    after as many products; along negative curvature downhill instead of uphill. The best of five d and of halved steps, by
    the loss itself; gradient descent's is the Cauchy step, halved likewise.

    Args:
        products: Hessian-vector products.

    Raises:
        ProblemError: fewer than one product.

    >>> x = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    >>> model = torch.nn.ParameterList([x])
    >>> h = torch.tensor([100.0, 1.0], dtype=torch.float64)
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> point = Point(model=model, optimizer=sgd, batch=h, loss_fn=lambda m, h: 0.5 * (h * m[0] ** 2).sum())
    >>> NewtonStep()(point).parts["loss_after"] < 0.5 * CauchyStep()(point).parts["loss_after"]
    True

    Source: Martens 2010, Hessian-free optimisation; Dauphin et al. 2014 (arXiv 1406.2572) for |H|.
    """

    products: int = PRODUCTS
    name: ClassVar[str] = "Newton step"
    unit: ClassVar[str] = "times the decrease of gradient descent"
    meaning: ClassVar[str] = "what one damped Newton-CG step gains over the best step of gradient descent"
    caveat: ClassVar[str] = "no learning rate, and one step: it costs as many gradients as two dozen steps of descent"

    def __post_init__(self) -> None:
        if self.products < 1:
            raise ProblemError(f"products is {self.products!r}; expected at least 1")

    def read(self, point: Point) -> Reading:
        """Lanczos from the gradient, then forward passes."""
        cauchy = CauchyStep().read(point)
        if cauchy.value is None:
            raise DoesNotApply(f"there is no step of gradient descent to compare with: {cauchy.estimate.reason}")
        plain = _best(point, [-cauchy.value * point.multipliers * point.gradient()])
        best = _best(point, _newton_steps(point, self.products))
        if plain["decrease"] <= 0:
            raise DoesNotApply("no step of gradient descent lowers the loss: nothing to compare with")
        value = max(best["decrease"], 0.0) / plain["decrease"]
        return self.found(
            value,
            value,
            value,
            n=point.samples,
            method=f"{self.products} products, damped",
            cost=2 * self.products + 5,
            says=f"one Newton step lowers the loss {value:.2g} times as far as the best step of gradient descent",
            parts={**best, "decrease_of_gradient_descent": plain["decrease"]},
        )


def _newton_steps(point: Point, products: int) -> list[torch.Tensor]:
    """-S V (|T| + d I)^-1 |S g| e_1 for each damping d; S: roots of the multipliers, V, T: basis and matrix of Lanczos."""
    root = point.multipliers.sqrt()
    matrix, g = point.hessian().scaled(root), root * point.gradient()
    length = float(g.norm())
    if length == 0:
        raise DoesNotApply("all gradients are zero: there is no direction to step in")
    basis = [g / length]
    columns: list[torch.Tensor] = []
    for _ in range(products):
        image = matrix(basis[-1])
        columns.append(image)
        rest = image
        for _ in range(2):
            rest = rest - sum((v * (v @ rest) for v in basis), torch.zeros_like(rest))
        norm = float(rest.norm())
        if not math.isfinite(norm):
            raise DoesNotApply("a product with the Hessian is not finite")
        if norm <= 1e-6 * float(image.norm()) or len(basis) == products:
            break
        basis.append(rest / norm)
    v = torch.stack(basis[: len(columns)])
    t = (v @ torch.stack(columns).mT).double()
    values, vectors = torch.linalg.eigh((t + t.mT) / 2)
    first = vectors[0] * length  # |g| e_1 in the eigenbasis
    scale = float(t[0, 0].abs()) or 1.0
    steps = []
    for damping in DAMPINGS:
        steps.append(-root * (v.mT @ (vectors @ (first / (values.abs() + damping * scale))).to(v)))
    return steps


def _best(point: Point, steps: Sequence[torch.Tensor]) -> dict[str, float]:
    """The largest decrease of the loss by any of the steps, each halved until it gains nothing more."""
    best: dict[str, float] | None = None
    for step in steps:
        last = -math.inf
        for halving in range(HALVINGS):
            tried = _decrease(point, step * 0.5**halving)
            if best is None or not tried["decrease"] <= best["decrease"]:
                best = tried if math.isfinite(tried["decrease"]) else best
            if 0 < tried["decrease"] <= last:
                break
            last = tried["decrease"]
    if best is None:
        raise DoesNotApply("the loss is not finite after any of the steps")
    return best


def _decrease(point: Point, step: torch.Tensor) -> dict[str, float]:
    before = point.value()
    after = value_after(point, step.double())
    return {"loss_before": before, "loss_after": after, "decrease": before - after}
