"""`Polyak`: the step that would reach the lowest loss if the loss were a straight line, capped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import FINITE, POSITIVE
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting


@dataclass(frozen=True)
class Polyak(Checked):
    """rate = min((loss - lowest) / (c |g|^2), cap x lane's rate), 0 where the loss lies below `lowest`.

    For steps along the gradient (SGD without momentum); under others the cap is what counts.

    Args:
        lowest: the loss that can be reached, in its own unit: 0 only for networks that fit their data.
        c: 1 is Polyak's own step, 1/2 twice as long.
        cap: the largest rate, in the lane's.

    Raises:
        ProblemError: a value out of range.

    >>> policy = Polyak()
    >>> rate = lambda loss, norm: float(policy.step(Observation(0, {"loss": loss, "grad_norm": norm}), policy.init(0.1))[0])
    >>> rate(0.5, 10.0), rate(2.0, 1.0)
    (0.01, 0.1)

    Source: Polyak 1987; Loizou et al. 2021, arXiv 2002.10542 (the stochastic step with a cap).
    """

    lowest: float = setting(0.0, FINITE)
    c: float = setting(0.5, POSITIVE)
    """The best constant of Loizou et al. for convex losses: on a quadratic it is the step to the lowest point."""
    cap: float = setting(1.0, POSITIVE)
    """The lane's rate is the largest: without a cap one batch that is nearly fitted (|g| near 0) throws the weights away."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """This step's loss and gradient norm."""
        return ("loss", "grad_norm")

    def init(self, lr: Any) -> Any:
        """The lane's rate."""
        return torch.as_tensor(lr, dtype=torch.float64)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The capped step; the cap itself where there is no gradient."""
        loss, norm = (torch.as_tensor(observation[name], dtype=torch.float64) for name in ("loss", "grad_norm"))
        cap = state * self.cap
        wanted = (loss - self.lowest).clamp(min=0.0) / (self.c * norm.square())
        return torch.where(norm == 0, cap, torch.minimum(wanted, cap)), state
