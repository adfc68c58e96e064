"""`StepDecay`: the rate drops by a factor at regular steps."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.arguments import FACTOR
from etastar.policies.setting import setting
from etastar.policies.shape import Shape, period


@dataclass(frozen=True)
class StepDecay(Shape):
    """factor(t) = drop ^ floor(t / n), n = every, or round(every x steps) for a share.

    Args:
        drop: what the rate is multiplied by.
        every: in (0, 1): a share of the steps, squeezed with them; an integer >= 1: so many steps.
        steps: the horizon.

    Raises:
        ProblemError: a drop outside (0, 1], or `every` is neither a share nor a number of steps.

    >>> policy = StepDecay(drop=0.5, every=0.25).over(8)
    >>> [policy.factor(t) for t in range(8)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]

    Source: `torch.optim.lr_scheduler.StepLR`.
    """

    drop: float = setting(0.1, FACTOR)
    """A decade, torch's default, too."""
    every: float | int = setting(1 / 3, period)
    """Two drops, after thirds of the steps, as ResNets are trained on ImageNet: 90 epochs, drops at 30 and 60."""
    steps: int | None = None

    def factor(self, step: int) -> float:
        """drop ^ (drops so far)."""
        return self.drop ** (step // period("step's every", self.every, self.horizon))
