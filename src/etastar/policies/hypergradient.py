"""`Hypergradient`: raise the rate while successive gradients agree, lower it while they oppose each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import MULTIPLE, PART, SHARE
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting


@dataclass(frozen=True)
class Hypergradient(Checked):
    """rate <- rate x (1 + beta cos(g_t, g_(t-1))), within [low, high] x the lane's rate.

    It is gradient descent of the loss on the rate in its multiplicative form, which has no unit: the additive form needs
    another beta for every loss and network. It looks one step ahead, so it ends lower than what is best for the whole run.

    Args:
        beta: in (0, 1).
        low, high: limits, in the lane's rate.

    Raises:
        ProblemError: a value out of range.

    >>> policy = Hypergradient(beta=0.5)
    >>> state, rates = policy.init(1.0), []
    >>> for step, cosine in enumerate([float("nan"), 1.0, -1.0, 0.0]):
    ...     rate, state = policy.step(Observation(step, {"grad_cosine": cosine}), state)
    ...     rates.append(float(rate))
    >>> rates
    [1.0, 1.5, 0.75, 0.75]

    Source: Baydin et al. 2018, arXiv 1703.04782, section 3 (the multiplicative rule).
    """

    beta: float = setting(0.02, PART)
    """Gradients that agree wholly double the rate in 35 steps."""
    low: float = setting(0.01, SHARE)
    """Two decades below the lane's rate, as low as schedules decay to: gradients of small batches often disagree."""
    high: float = setting(10.0, MULTIPLE)
    """A decade above the lane's rate, where most networks diverge."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The cosine of this gradient and the last."""
        return ("grad_cosine",)

    def init(self, lr: Any) -> Any:
        """The lane's rate and the rate in use."""
        lr = torch.as_tensor(lr, dtype=torch.float64)
        return {"lr": lr, "rate": lr}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """One step of the rate; none while there is no gradient before this one."""
        cosine = torch.nan_to_num(torch.as_tensor(observation["grad_cosine"], dtype=torch.float64))
        lr, rate = state["lr"], state["rate"] * (1 + self.beta * cosine)
        rate = torch.minimum(torch.maximum(rate, lr * self.low), lr * self.high)
        return rate, {"lr": lr, "rate": rate}
