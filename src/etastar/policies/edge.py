"""`Edge`: the rate held at a share of the edge of stability, where gradient descent on a quadratic stops converging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import EVERY, MOMENTUM, MULTIPLE, POSITIVE
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting


@dataclass(frozen=True)
class Edge(Checked):
    """rate = share x 2 (1 + momentum) / lambda1, at most high x the lane's rate; lambda1 is the sharpness at the last look.

    The edge is that of SGD. Between the first look that sees no positive curvature and the next the rate is the highest.

    Args:
        share: of the edge; at 1 a quadratic neither converges nor diverges.
        momentum: of the optimizer, heavy ball.
        every: optimizer steps from look to look.
        high: the highest rate, in the lane's.

    Raises:
        ProblemError: a value out of range.

    >>> policy = Edge(share=0.5, momentum=0.5)
    >>> rate = lambda top: float(policy.step(Observation(0, {"sharpness": top}), policy.init(0.1))[0])
    >>> rate(4.0), rate(1e-9), rate(-1.0)
    (0.375, 1.0, 1.0)

    Source: Cohen et al. 2021, arXiv 2103.00065 (the edge); Polyak 1964 (of the heavy ball).
    """

    share: float = setting(0.8, POSITIVE)
    """Below 1, so that a sharpness that rises until the next look is still below the edge then."""
    momentum: float = setting(0.0, MOMENTUM)
    every: int = setting(10, EVERY)
    """A look costs about twelve gradient steps."""
    high: float = setting(10.0, MULTIPLE)
    """A decade above the lane's rate, where most networks diverge."""

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The sharpness."""
        return (Every("sharpness", self.every),)

    def init(self, lr: Any) -> Any:
        """The lane's rate."""
        return torch.as_tensor(lr, dtype=torch.float64)

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The share of the edge, capped."""
        sharpness = torch.as_tensor(observation["sharpness"], dtype=torch.float64)
        rate = torch.minimum(self.share * 2 * (1 + self.momentum) / sharpness, state * self.high)
        return torch.where(sharpness > 0, rate, torch.where(sharpness.isnan(), state, state * self.high)), state
