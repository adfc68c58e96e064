"""Sharpness: the largest curvature of the loss, on its own, as the optimizer sees it, and along one direction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.edge import edge_of, inverse_preconditioner
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading
from etastar.theory.curvature import Curvature
from etastar.theory.lanczos import MAX_PRODUCTS, TopEigenvalue, largest_eigenvalue

ONE_POINT = "a number of one point: it may change a hundredfold in the first steps of training"


@dataclass(frozen=True)
class _Top(Probe):
    """The largest algebraic eigenvalue of a matrix, by Lanczos.

    Args:
        tolerance: relative error to stop at.
        max_products: matrix-vector products at most; the bound is then what was reached.

    Raises:
        ProblemError: the tolerance is not in (0, 1), or fewer than one product is allowed.
    """

    tolerance: float = 1e-2
    max_products: int = MAX_PRODUCTS

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ProblemError(f"tolerance is {self.tolerance!r}; expected a number in (0, 1), e.g. 0.01")
        if self.max_products < 1:
            raise ProblemError(f"max_products is {self.max_products!r}; expected at least 1")

    def _read_top(self, point: Point, matrix: Curvature, start: torch.Tensor, why_no_edge: str = "") -> Reading:
        """The reading for `matrix`; `start` is a direction rich in the sought eigenvector."""
        top = largest_eigenvalue(
            matrix,
            matrix.dimension,
            tolerance=self.tolerance,
            start=start,
            seed=point.seed,
            max_products=self.max_products,
            dtype=matrix.dtype,
            device=matrix.device,
        )
        if not top.finite:
            raise DoesNotApply("a product with the matrix is not finite")
        says, rate = _edge_sentence(point, top, why_no_edge)
        method = f"Lanczos, {top.products} products" + ("" if top.converged else ", NOT converged")
        return self.found(
            top.value,
            top.value - top.bound,
            top.value + top.bound,
            n=point.samples,
            method=method,
            cost=2 * top.products + 3,
            says=says,
            rate=rate,
        )


def _edge_sentence(point: Point, top: TopEigenvalue, why_not: str) -> tuple[str, float | None]:
    known = edge_of(point.optimizer)
    if why_not or known.factor is None:
        return why_not or known.formula, None
    if top.value <= top.bound:
        return "no edge: no direction curves upwards beyond the error bound", None
    rate = known.factor / top.value
    return f"edge {known.formula}", rate if math.isfinite(rate) else None


@dataclass(frozen=True)
class Sharpness(_Top):
    """lambda1: the largest algebraic eigenvalue of the Hessian of the loss over the trainable parameters.

    Gradient descent on a quadratic of this curvature converges below 2 / lambda1. Weight decay is not part of the loss.

    Args:
        tolerance: relative error to stop at; the sampling error of 512 samples is larger than 1e-2.
        max_products: Hessian-vector products at most.

    >>> x = torch.nn.Parameter(torch.ones(3))
    >>> model = torch.nn.ParameterList([x])
    >>> h = torch.tensor([4.0, 1.0, -9.0])
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> point = Point(model=model, optimizer=sgd, batch=h, loss_fn=lambda m, h: 0.5 * (h * m[0] ** 2).sum())
    >>> reading = Sharpness()(point)
    >>> round(reading.value, 4), round(reading.rate, 4)
    (4.0, 0.5)
    """

    name: ClassVar[str] = "lambda1"
    unit: ClassVar[str] = "loss / parameter^2"
    meaning: ClassVar[str] = "largest curvature of the loss (top eigenvalue of the Hessian)"
    caveat: ClassVar[str] = ONE_POINT

    def read(self, point: Point) -> Reading:
        """Lanczos on the Hessian, begun along the gradient."""
        matrix = point.hessian()
        start = point.gradient() if matrix.gradient is None else matrix.gradient
        if not torch.isfinite(start).all():
            raise DoesNotApply("the gradient is not finite")
        return self._read_top(point, matrix, start, _why_no_edge(point))


@dataclass(frozen=True)
class GaussNewtonSharpness(_Top):
    """The largest eigenvalue of the Gauss-Newton matrix J' H_out J: the curvature without that of the network itself.

    Never negative for a convex loss; 10-20 % below lambda1 at initialisation, equal to it once trained.

    Args:
        tolerance, max_products: as for `Sharpness`.
    """

    name: ClassVar[str] = "lambda1, Gauss-Newton"
    unit: ClassVar[str] = "loss / parameter^2"
    meaning: ClassVar[str] = "largest curvature that the loss alone makes (J' H_out J)"
    caveat: ClassVar[str] = "leaves out the network's own curvature: 10-20 % low at initialisation"

    def read(self, point: Point) -> Reading:
        """Lanczos on the Gauss-Newton matrix, begun along the gradient."""
        return self._read_top(point, point.gauss_newton(), point.gradient(), _why_no_edge(point))


@dataclass(frozen=True)
class PreconditionedSharpness(_Top):
    """lambda_P: the largest eigenvalue of P^-1 H, with P^-1 what the optimizer multiplies the gradient by at its first step.

    Iterated in the symmetric form P^-1/2 H P^-1/2. SGD: P^-1 = group multipliers; Adam: multipliers / (|g| + eps).
    lr x lambda_P has no unit, for Adam as for SGD.

    Args:
        tolerance, max_products: as for `Sharpness`.
    """

    name: ClassVar[str] = "lambda1, preconditioned"
    unit: ClassVar[str] = "1 / learning rate"
    meaning: ClassVar[str] = "largest curvature as the optimizer sees it at its first step (P^-1 H)"
    caveat: ClassVar[str] = "led by the parameters of smallest gradient; Adam's preconditioner changes at once"

    def read(self, point: Point) -> Reading:
        """Lanczos on P^-1/2 H P^-1/2, begun along P^-1/2 gradient."""
        inverse, what = inverse_preconditioner(point)
        root = inverse.sqrt()
        why = "" if edge_of(point.optimizer).factor else f"no edge: {what}"
        return self._read_top(point, point.hessian().scaled(root), root * point.gradient(), why)


def _why_no_edge(point: Point) -> str:
    """Why the Hessian's own lambda1 implies no edge for this optimizer; empty where it does."""
    if edge_of(point.optimizer).adaptive:
        return "not the quantity that limits Adam; see lambda1, preconditioned"
    if bool((point.multipliers != 1).any()):
        return "the groups have different rates; see lambda1, preconditioned"
    return ""
