"""`SpikeGuard`: the rate of a policy, cut for a while when the loss jumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import EVERY, PART, POSITIVE
from etastar.policies.compose import Around, each, joined
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting


@dataclass(frozen=True)
class SpikeGuard(Around, Checked):
    """The rate of `policy` x a guard, which is 1 until the loss jumps,

        guard <- cut x guard                       where loss > m + deviations x s, or the loss is not finite
        guard <- min(1, guard x cut^(-1 / back))   else: a cut is made good within `back` steps

    m and s are mean and standard deviation of the losses so far, about `memory` steps long; a loss enters them no higher
    than m + deviations x s, so that they follow a loss that stays high, but slowly. The first `memory` losses are no jumps.

    Args:
        policy: what is guarded.
        deviations, cut: see above.
        back, memory: steps.

    Raises:
        ProblemError: a value out of range.

    >>> from etastar.policies.policy import Constant
    >>> policy = SpikeGuard(Constant(), memory=4, back=2)
    >>> state, rates = policy.init(1.0), []
    >>> for step, loss in enumerate([1.1, 0.9, 1.1, 0.9, 1.0, 5.0, 1.0, 1.0]):
    ...     rate, state = policy.step(Observation(step, {"loss": loss}), state)
    ...     rates.append(round(float(rate), 4))
    >>> rates
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.7071, 1.0]
    """

    deviations: float = setting(4.0, POSITIVE)
    """Of normal noise one loss in 30,000 lies so far out; at three deviations noise would cut the rate every 740 steps."""
    cut: float = setting(0.5, PART)
    """Spikes come from rates just beyond the edge of stability; half of such a rate lies within."""
    back: int = setting(100, EVERY)
    """About as long as AdamW's second moment takes to follow the new size of the gradients (beta2 = 0.99; 0.999: 1,000)."""
    memory: int = setting(50, EVERY)
    """Long enough for a standard deviation to 10 %, short enough to follow a loss that falls."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """This step's loss, and what `policy` reads."""
        return tuple(dict.fromkeys((*joined(self.policy), "loss")))

    def init(self, lr: Any) -> Any:
        """Guard, mean and variance of the losses, how many there were, and the policy's state."""
        zero = torch.zeros_like(torch.as_tensor(lr, dtype=torch.float64))
        return {"guard": zero + 1, "mean": zero, "square": zero, "losses": zero, "own": self.policy.init(lr)}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """Its rate, guarded."""
        rate, own = self.policy.step(observation.shown_to(self.policy), state["own"])
        loss = torch.as_tensor(observation["loss"], dtype=torch.float64)
        mean, square, losses = state["mean"], state["square"], state["losses"]
        highest = mean + self.deviations * square.sqrt()
        known, finite = losses >= self.memory, torch.isfinite(loss)
        jump = ~finite | (known & (loss > highest))
        guard = torch.where(jump, state["guard"] * self.cut, (state["guard"] * self.cut ** (-1 / self.back)).clamp(max=1.0))
        kept = torch.where(known, torch.minimum(loss, highest), loss)
        weight = 1 / (losses + 1).clamp(max=self.memory)
        moved = mean + weight * (kept - mean)
        spread = (1 - weight) * (square + weight * (kept - mean).square())
        after = {"mean": moved, "square": spread, "losses": losses + 1}
        after = {name: torch.where(finite, after[name], state[name]) for name in after}
        return each(lambda r: r * guard, rate), {"guard": guard, **after, "own": own}
