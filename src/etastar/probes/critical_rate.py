"""eta_c: the smallest rate at which the optimizer's own next step raises the loss of the same batch; forward passes only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from etastar.core.estimate import Status
from etastar.errors import DoesNotApply, ProblemError
from etastar.probes.directional import UpdateCurvature
from etastar.probes.first_step import first_change, first_direction, value_after
from etastar.probes.point import Point
from etastar.probes.reading import Probe, Reading

MAX_FORWARDS = 12
CLOSED = 1 / 16


@dataclass(frozen=True)
class CriticalRate(Probe):
    """eta_c: the smallest rate found that raises the loss of the same batch along the optimizer's real first step.

    Doubling or halving from a guess (quadrupling after two of them) until the comparison with the loss at rate 0 flips, then
    geometric bisection until 1 - low / high <= 1/16. On a quadratic, eta_c = 2 / curvature along the update.

    Args:
        guess: rate to begin at; None: 2 / curvature along the update where that is positive, else the optimizer's own rate.
        max_forwards: forward passes at most, the one at rate 0 included; what is then not closed is returned as it is.

    Raises:
        ProblemError: the guess is not a rate, or there are fewer than two forward passes.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.ones(2))
    >>> model = torch.nn.ParameterList([x])
    >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> point = Point(model=model, optimizer=sgd, batch=torch.tensor(4.0), loss_fn=lambda m, h: 0.5 * h * (m[0] ** 2).sum())
    >>> abs(CriticalRate()(point).value / 0.5 - 1) < 1 / 16
    True

    Source: Kalra and Barkeshli 2024 (arXiv 2406.09405); Kalra et al. 2026 (arXiv 2601.16979).
    """

    guess: float | None = None
    max_forwards: int = MAX_FORWARDS
    name: ClassVar[str] = "eta_c"
    unit: ClassVar[str] = "learning rate"
    meaning: ClassVar[str] = "smallest rate that raises the loss of the same batch in one step"
    caveat: ClassVar[str] = "one step, one batch, one initialisation; momentum has not built up yet"

    def __post_init__(self) -> None:
        if self.guess is not None and not (0 < self.guess < math.inf):
            raise ProblemError(f"guess is {self.guess!r}; expected a finite rate > 0")
        if self.max_forwards < 2:
            raise ProblemError(f"max_forwards is {self.max_forwards!r}; expected at least 2")

    def read(self, point: Point) -> Reading:
        """Search and bisect; the parameters are copied back after every pass."""
        start = point.value()
        if not math.isfinite(start):
            raise DoesNotApply(f"the loss is {start} before any step")
        guess = self.guess or _guess(point)
        direction, linear = first_direction(point, guess)

        def raises(lr: float) -> bool:
            change = lr * direction if linear else first_change(point, lr)
            return not value_after(point, change) <= start  # NaN counts as larger

        search = _search(raises, guess, self.max_forwards - 1)
        return self._report(search, point.samples, linear)

    def _report(self, search: _Search, n: int, linear: bool) -> Reading:
        low, high, forwards = search.low, search.high, search.forwards + 1
        method = f"{forwards} forward passes" + ("" if linear else ", one real step each")
        if low is None or high is None:
            side = f"above {low:.3g}" if low is not None else f"below {high:.3g}"
            return self.refuse(
                f"after {forwards} forward passes it is only known to lie {side}; pass a better guess",
                Status.EDGE_OF_RANGE,
                low=low,
                high=high,
                n=n,
                method=method,
            )
        closed = 1 - low / high <= CLOSED
        value = math.sqrt(low * high)
        return self.found(
            value,
            low,
            high,
            n=n,
            method=method + ("" if closed else f", NOT closed to {CLOSED:.3g}"),
            cost=-(-forwards // 3),
            says="above it the first step raises the loss",
            rate=value,
        )


@dataclass
class _Search:
    low: float | None
    high: float | None
    forwards: int


def _search(raises: Callable[[float], bool], guess: float, budget: int) -> _Search:
    """Double or halve from `guess`, then bisect, within `budget` calls of `raises`."""
    found = _Search(None, None, 0)
    lr = guess
    while found.forwards < budget and 0 < lr < math.inf:
        found.forwards += 1
        if raises(lr):
            found.high = lr
        else:
            found.low = lr
        factor = 2.0 if found.forwards <= 2 else 4.0  # one more bisection buys four times the reach
        if found.low is None:
            lr /= factor
        elif found.high is None:
            lr *= factor
        elif 1 - found.low / found.high <= CLOSED:
            break
        else:
            lr = math.sqrt(found.low * found.high)
    return found


def _guess(point: Point) -> float:
    """2 / curvature along the update, where there is one; else the optimizer's own rate."""
    try:
        reading = UpdateCurvature().read(point)
    except DoesNotApply:
        return point.lr
    return reading.rate if reading.rate and math.isfinite(reading.rate) else point.lr
