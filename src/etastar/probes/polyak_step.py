"""Polyak's step: the rate at which one step along the gradient would take a convex loss to its lowest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from etastar.core.estimate import Status
from etastar.core.kinds import is_plain_adam
from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading


@dataclass(frozen=True)
class PolyakStep(Probe):
    """(f - lowest) / g'Dg, with D the groups' multipliers: no product with the Hessian, one gradient.

    On a quadratic of curvature h along g it is half the best single step, 1 / (2 h).

    Args:
        lowest: the loss that can be reached; 0 for a network that can fit its data.

    Raises:
        ProblemError: `lowest` is no finite number.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.ones(1))
    >>> model = torch.nn.ParameterList([x])
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> point = Point(model=model, optimizer=sgd, batch=torch.tensor(4.0), loss_fn=lambda m, h: 0.5 * h * (m[0] ** 2).sum())
    >>> PolyakStep()(point).value
    0.125

    Source: Polyak 1987, Introduction to Optimization, 5.3; Loizou et al. 2021 (arXiv 2002.10542) for lowest = 0.
    """

    lowest: float = 0.0
    name: ClassVar[str] = "Polyak step"
    unit: ClassVar[str] = "learning rate"
    meaning: ClassVar[str] = "(loss - lowest loss) / |g|^2"
    caveat: ClassVar[str] = "assumes a convex loss that reaches its lowest value on this batch"

    def __post_init__(self) -> None:
        if not (isinstance(self.lowest, (int, float)) and abs(self.lowest) < float("inf")):
            raise ProblemError(f"lowest is {self.lowest!r}; expected a finite loss, e.g. 0")

    def read(self, point: Point) -> Reading:
        """One gradient, one forward pass."""
        if is_plain_adam(point.optimizer):
            raise DoesNotApply(f"for steps along the gradient; that of {type(point.optimizer).__name__} is along its sign")
        g = point.gradient()
        loss, squares = point.value(), float((point.multipliers * g * g).sum())
        if not squares > 0:
            return self.refuse("the gradient is zero: no step", Status.FLAT, n=point.samples)
        if not loss > self.lowest:
            return self.refuse(
                f"the loss {loss:.4g} is not above the lowest, {self.lowest:.4g}", Status.FLAT, n=point.samples
            )
        value = (loss - self.lowest) / squares
        return self.found(
            value,
            value,
            value,
            n=point.samples,
            method="1 gradient",
            cost=2,
            says=f"one step along the gradient towards a loss of {self.lowest:g}, if the loss were convex",
            rate=value,
        )
