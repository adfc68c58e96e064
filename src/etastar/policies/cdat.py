"""`Cdat`: curvature dynamics aware tuning, the rate that keeps the optimizer's own direction at its edge of stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import MOMENTUM, MULTIPLE, PART, POSITIVE
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting

READS = ("descent", "curvature", "update_norm")


@dataclass(frozen=True)
class Cdat(Checked):
    """rate = sigma n / d, n and d exponential means of max(-g'u, 0) and |u'Hu|, within [low, high] x the lane's rate.

    u is the optimizer's direction at rate 1: any optimizer's, with its momentum, decay and clipping. Where the paper takes
    the direction to come, this takes the last one with the gradient it was made of: its own curvature is known at the next
    step. At step 0 there is none, and the rate is the lane's. A factor around it (`Times`) it makes up for: change sigma.

    Args:
        sigma: 2 is the edge on a quadratic, 1 its lowest point along u.
        beta: weight of what was before in n and d.
        low, high: limits, in the lane's rate.

    Raises:
        ProblemError: a value out of range.

    >>> policy = Cdat(beta=0.0)
    >>> _, state = policy.step(Observation(0, {name: float("nan") for name in policy.reads}), policy.init(0.1))
    >>> u = {"descent": 0.1 * 4.0**2, "curvature": 4.0, "update_norm": 0.1 * 4.0}  # f = 4 x^2 / 2 at x = 1: g = 4, u = -4
    >>> round(float(policy.step(Observation(1, u), state)[0]), 12)
    0.5

    Source: Roulet et al. 2024, arXiv 2407.06183.
    """

    sigma: float = setting(2.0, POSITIVE)
    """On the edge, which beats the greedy 1 over a whole run of full batches; less for small batches (Roulet et al.)."""
    beta: float = setting(0.9, MOMENTUM)
    """The gradients of single batches agree too little for a ratio of single steps."""
    low: float = setting(0.01, PART)
    """Two decades below the lane's rate, as low as schedules decay to."""
    high: float = setting(10.0, MULTIPLE)
    """A decade above the lane's rate, where most networks diverge."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """What the last update won, its length and the curvature along it."""
        return READS

    def init(self, lr: Any) -> Any:
        """The lane's rate, the rate in use, and no means yet."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        return {"lr": lr, "rate": lr, "n": torch.zeros_like(lr), "d": torch.zeros_like(lr)}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The ratio of the means; the rate stays where the last update says nothing."""
        descent, curvature, length = (torch.as_tensor(observation[name], dtype=torch.float64) for name in READS)
        lr, rate = state["lr"], state["rate"]
        per_rate = length / rate
        fresh = {"n": (descent / rate).clamp(min=0.0), "d": curvature.abs() * per_rate.square()}
        seen = torch.isfinite(fresh["n"]) & torch.isfinite(fresh["d"]) & (length > 0)
        begun = (state["d"] > 0) | (state["n"] > 0)
        means = {
            name: torch.where(seen, torch.where(begun, self.beta * state[name] + (1 - self.beta) * now, now), state[name])
            for name, now in fresh.items()
        }
        wanted = torch.minimum(torch.maximum(self.sigma * means["n"] / means["d"], lr * self.low), lr * self.high)
        rate = torch.where(seen & ~wanted.isnan(), wanted, rate)
        return rate, {"lr": lr, "rate": rate, **means}
