"""What an optimizer makes of a curvature: its preconditioner at the first step, and the edge of stability it implies."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from etastar.core.kinds import is_plain_adam, is_plain_sgd
from etastar.probes.point import Point


@dataclass(frozen=True)
class EdgeFormula:
    """The rate at which a quadratic of curvature lambda stops converging is `factor` / lambda.

    Args:
        factor: None where it is not known for this optimizer.
        formula: of the edge, for a reader.
        adaptive: whether lambda is that of the preconditioned Hessian, which is not the Hessian's own.
    """

    factor: float | None
    formula: str
    adaptive: bool = False


def edge_of(optimizer: torch.optim.Optimizer) -> EdgeFormula:
    """The edge of stability on a quadratic.

    gradient descent 2 / lambda; heavy ball 2 (1 + b) / lambda; Nesterov 2 (1 + b) / ((1 + 2b) lambda);
    Adam 2 (1 + b1) / ((1 - b1) lambda_P), where lambda_P is the largest eigenvalue of P^-1 H; SGD's dampening d divides by
    1 - d.

    >>> p = [torch.nn.Parameter(torch.zeros(1))]
    >>> edge_of(torch.optim.SGD(p, lr=0.1, momentum=0.9)).factor, edge_of(torch.optim.Adam(p)).formula
    (3.8, '2 (1 + b1) / ((1 - b1) lambda_P), b1 = 0.9')

    Source: Cohen et al. 2021 (arXiv 2103.00065) and 2022 (arXiv 2207.14484).
    """
    if is_plain_sgd(optimizer):
        b, nesterov, d = (_common(optimizer, key) for key in ("momentum", "nesterov", "dampening"))
        if b is None or nesterov is None or d is None:
            return EdgeFormula(None, "the groups differ in momentum")
        if not b:
            return EdgeFormula(2.0, "2 / lambda")
        if nesterov:
            return EdgeFormula(2 * (1 + b) / (1 + 2 * b), f"2 (1 + b) / ((1 + 2b) lambda), b = {b:g}")
        formula = f"2 (1 + b) / ((1 - d) lambda), d = {d:g}" if d else "2 (1 + b) / lambda"
        return EdgeFormula(2 * (1 + b) / (1 - d), f"{formula}, b = {b:g}")
    if is_plain_adam(optimizer):
        b1 = _common(optimizer, "betas", 0)
        if b1 is None:
            return EdgeFormula(None, "the groups differ in betas", adaptive=True)
        return EdgeFormula(2 * (1 + b1) / (1 - b1), f"2 (1 + b1) / ((1 - b1) lambda_P), b1 = {b1:g}", adaptive=True)
    return EdgeFormula(None, f"the edge of {type(optimizer).__name__} is not known")


def inverse_preconditioner(point: Point) -> tuple[torch.Tensor, str]:
    """(P^-1 as a diagonal [dimension], what it is), so that a small step is -lr P^-1 gradient.

    SGD: the group multipliers m. Adam at its first step: m / (|g| + eps), because the bias-corrected second moment is g^2.
    Any other optimizer: the multipliers alone.

    Raises:
        DoesNotApply: the gradient is not finite.
    """
    multipliers = point.multipliers
    same = bool((multipliers == multipliers[0]).all()) and float(multipliers[0]) == 1
    if is_plain_sgd(point.optimizer):
        return multipliers, "SGD has none" if same else "SGD: the groups' rates as multiples of the default rate"
    if is_plain_adam(point.optimizer):
        eps = {id(p): float(g["eps"]) for g in point.optimizer.param_groups for p in g["params"]}
        epsilon = torch.cat([torch.full_like(p, eps[id(p)]).reshape(-1) for p in point.parameters])
        what = "Adam's at its first step, 1 / (|g| + eps)" + ("" if same else ", times the groups' multipliers")
        return multipliers / (point.gradient().abs() + epsilon), what
    return multipliers, f"{type(point.optimizer).__name__}'s preconditioner is not known, multipliers only"


def _common(optimizer: torch.optim.Optimizer, key: str, index: int | None = None) -> float | None:
    values = {float(g[key] if index is None else g[key][index]) for g in optimizer.param_groups}
    return values.pop() if len(values) == 1 else None
