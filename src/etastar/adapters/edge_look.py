"""How near the rates in use are to the edge of stability, read off a live training that goes on as if nobody had looked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.arguments import Whole
from etastar.core.kinds import is_plain_adam
from etastar.core.objective import check_scalar
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.traceless import twice_differentiable
from etastar.engine.step_hessian import COARSEST
from etastar.errors import DoesNotApply, call
from etastar.probes.edge import edge_of
from etastar.theory.curvature import Curvature, hessian
from etastar.theory.lanczos import top_nearby

FLOOR = 0.1
"""Of the root mean square of Adam's sqrt(v): without it parameters that hardly ever have a gradient (behind a dead unit, a
bias before BatchNorm) made the ratio of trainings that went well 3,000 and 30,000."""
PRODUCTS = Whole(1, 100, "products with the Hessian")


@dataclass(frozen=True)
class EdgeRatio:
    """What a look found, as shares of the edge: beyond 1 a quadratic diverges.

    Args:
        top: in the direction of largest curvature; NaN where the loss or its curvature is not finite, negative where nothing
            curves upwards.
        along: in the direction in which the kept batch's gradient would move the parameters; never above `top`.
    """

    top: float
    along: float


class EdgeLook:
    """The edge ratio of an optimizer's rates on a kept batch,

        lambda1(R^1/2 H R^1/2) / factor,  R = diag(rate of the parameter's group / its preconditioner)

    which is rate x lambda1 / (2 (1 + b)) for SGD with momentum b. The preconditioner is 1 for SGD and sqrt(v) + eps for
    Adam, with v the second moment after a step along the kept batch's gradient, bias corrected, and sqrt(v) at least `FLOOR`
    of its root mean square; Adam's factor is 2 (1 + b1) / (1 - b1), 38 at b1 = .9. Along the gradient g the ratio is
    g'R H R g / (g'R g factor). Weight decay is not part of H.

    A look runs its own forward pass: without autocast, with the one attention that has second derivatives, under the same
    masks each time. Parameters, `.grad`, buffers, modes, optimizer and random state are bit-identical afterwards.

    Args:
        optimizer: SGD, Adam or AdamW of torch.
        model: whose buffers and modes are kept.
        loss: () -> scalar loss of the model on a batch that is always the same.
        products: with the Hessian a look, besides one along the gradient; twice as many at the first, which has no
            eigenvector to begin with.

    Raises:
        DoesNotApply: the optimizer's edge is not known, or parameters are complex or rounded further than float32.

    >>> x = nn.Parameter(torch.ones(2))
    >>> h = torch.tensor([4.0, 1.0])
    >>> sgd = torch.optim.SGD([x], lr=0.25)
    >>> edge = EdgeLook(sgd, nn.ParameterList([x]), lambda: 0.5 * (h * x**2).sum())()
    >>> round(edge.top, 4), round(edge.along, 4)  # the gradient is (4, 1): (4 x 16 + 1) / 17 of curvature
    (0.5, 0.4779)

    Source: Cohen et al. 2021 (arXiv 2103.00065, SGD) and 2022 (arXiv 2207.14484, Adam).
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, model: nn.Module, loss: Callable[[], torch.Tensor], products: int = 4
    ) -> None:
        edge = edge_of(optimizer)
        if edge.factor is None:
            raise DoesNotApply(edge.formula)
        self.factor, self.formula = edge.factor, edge.formula
        self._optimizer, self._model, self._loss = optimizer, model, loss
        self._products, self._vector = PRODUCTS("products", products), None
        for _, p in self._moved():
            if p.is_complex() or torch.finfo(p.dtype).eps > COARSEST:
                raise DoesNotApply(f"second derivatives take real parameters of float32 or wider, not {p.dtype}")

    def __call__(self) -> EdgeRatio:
        """The edge ratios now.

        Raises:
            DoesNotApply: torch has no second derivatives of this loss.
        """
        moved = self._moved()
        parameters = [p for _, p in moved]
        with isolated_randomness(), torch.enable_grad(), _wide(parameters[0]), twice_differentiable(self._model):
            seed_everything(derive_seed(0, "watch"))
            loss = call("the loss of the kept batch", self._loss)
            check_scalar(loss)
            matrix = hessian(loss.reshape(()), parameters)
            assert matrix.gradient is not None
            root = self._rates(moved, matrix.gradient).sqrt()
            scaled, slope = matrix.scaled(root), root * matrix.gradient
            along = _rayleigh(scaled, slope)
            top = top_nearby(scaled, slope if self._vector is None else self._vector, self._products)
        if top.finite:
            self._vector = top.vector
        return EdgeRatio(top.value / self.factor, along / self.factor)

    def _moved(self) -> list[tuple[dict[str, Any], torch.Tensor]]:
        """(group, parameter) for all that are trained; at a rate of 0 they do not curve."""
        groups = self._optimizer.param_groups
        return [(group, p) for group in groups for p in group["params"] if p.requires_grad]

    def _rates(self, moved: Sequence[tuple[dict[str, Any], torch.Tensor]], slope: torch.Tensor) -> torch.Tensor:
        """The diagonal of R."""
        spread = lambda of: torch.cat([torch.full_like(p, of(group, p)).reshape(-1) for group, p in moved])
        rates = spread(lambda group, p: float(group["lr"]))
        if not is_plain_adam(self._optimizer):
            return rates
        state = self._optimizer.state
        decay = spread(lambda group, p: float(group["betas"][1]))
        taken = spread(lambda group, p: float(state[p]["step"]) if p in state else 0.0)
        square = torch.cat([_second_moment(group, p, state.get(p)) for group, p in moved])
        size = ((decay * square + (1 - decay) * slope**2) / (1 - decay ** (taken + 1))).sqrt()
        return rates / (
            size.clamp(min=FLOOR * float(size.square().mean().sqrt())) + spread(lambda group, p: float(group["eps"]))
        )


def _second_moment(group: dict[str, Any], p: torch.Tensor, state: dict[str, Any] | None) -> torch.Tensor:
    """Adam's v, flat."""
    if not state:
        return torch.zeros_like(p).reshape(-1)
    return state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"].reshape(-1)


def _rayleigh(matrix: Curvature, direction: torch.Tensor) -> float:
    """d'A d / d'd; 0 along nothing."""
    length = torch.linalg.vector_norm(direction)
    unit = direction / length
    return float(unit @ matrix(unit)) if length > 0 else 0.0


def _wide(p: torch.Tensor) -> AbstractContextManager[Any]:
    """Without autocast on the device of `p`."""
    return torch.autocast(p.device.type, enabled=False) if torch.is_autocast_enabled(p.device.type) else nullcontext()
