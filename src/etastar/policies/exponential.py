"""`Exponential`: the same share is lost at every step."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.arguments import FACTOR
from etastar.policies.setting import setting
from etastar.policies.shape import Shape


@dataclass(frozen=True)
class Exponential(Shape):
    """factor(t) = final ^ (t / steps).

    It is torch's `ExponentialLR` with gamma = final ^ (1 / steps).

    Args:
        final: factor at the end of the horizon.
        steps: the horizon.

    Raises:
        ProblemError: `final` is no number in (0, 1].

    >>> policy = Exponential(final=0.01).over(10)
    >>> [round(policy.factor(t), 6) for t in (0, 5, 10)]
    [1.0, 0.1, 0.01]
    """

    final: float = setting(0.01, FACTOR)
    """Two decades: the last tenth of the steps then has a mean rate of 1.3 % of the peak, that of linear decay 5 %."""
    steps: int | None = None

    def factor(self, step: int) -> float:
        """final ^ (step / steps)."""
        return self.final ** (step / self.horizon)
