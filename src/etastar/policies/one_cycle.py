"""`OneCycle`: up to the peak, then down far below the start, in one cycle over the whole horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

from etastar.arguments import MULTIPLE, PART, word
from etastar.errors import ProblemError
from etastar.policies.setting import setting
from etastar.policies.shape import Shape

CURVE = partial(word, choices=("cosine", "linear"))


@dataclass(frozen=True)
class OneCycle(Shape):
    """The rate of torch's `OneCycleLR`: first = peak / div_factor, last = first / final_div_factor,

        t <= U = warmup x steps - 1:  first -> peak over [0, U]
        else:                         peak -> last over [U, steps - 1]

    along half a cosine, or a line. After the horizon it stays at the last rate.

    Args:
        warmup: share of the steps on the way up.
        div_factor, final_div_factor: how far below the peak it starts, and how far below that it ends.
        curve: "cosine" or "linear".
        cycle_momentum: refused: a policy sets rates alone.
        steps: the horizon.

    Raises:
        ProblemError: a value out of range, or a cycled momentum.

    >>> policy = OneCycle(warmup=0.5, div_factor=10, curve="linear").over(12)
    >>> [round(policy.rate(t, 1.0), 4) for t in (0, 1, 5, 8, 11)]
    [0.1, 0.28, 1.0, 0.5, 0.0]

    Source: Smith and Topin 2018, arXiv 1708.07120; the numbers are those of `torch.optim.lr_scheduler.OneCycleLR`.
    """

    warmup: float = setting(0.3, PART)
    """torch's default; Smith and Topin go up for nearly half of the steps."""
    div_factor: float = setting(25.0, MULTIPLE)
    final_div_factor: float = setting(1e4, MULTIPLE)
    """Both are torch's defaults, kept so that a run moves over from torch unchanged."""
    curve: str = setting("cosine", CURVE)
    cycle_momentum: bool = False
    steps: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cycle_momentum:
            raise ProblemError(
                "one-cycle is to cycle the momentum, too; expected cycle_momentum=False: a policy sets rates alone"
            )

    def rate(self, t: int, lr: Any) -> Any:
        """In torch's own order of operations, so that the bits are the same."""
        last, up = self.horizon - 1, float(self.warmup * self.horizon) - 1
        first = lr / self.div_factor
        if t <= up:
            return self._between(first, lr, t / up if up else 1.0)
        over = (t - up) / (last - up) if t < last else 1.0
        return self._between(lr, first / self.final_div_factor, over)

    def _between(self, start: Any, end: Any, share: float) -> Any:
        if self.curve == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
