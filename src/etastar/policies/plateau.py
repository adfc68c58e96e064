"""`Plateau`: lower the rate where the loss has stopped falling."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from etastar.arguments import LOOKS, PART, SHARE
from etastar.policies.setting import setting
from etastar.policies.watching import Watching


@dataclass(frozen=True)
class Plateau(Watching):
    """rate <- max(factor x rate, low x lane's rate) when more than `patience` looks in a row were not better than the best

    by a share `threshold` of it. After a drop, `cooldown` looks do not count.

    It is torch's `ReduceLROnPlateau`, stepped at every look, without its `eps`; its `min_lr` is a share here.

    Args:
        signal, every: see `Watching`; an epoch's worth of steps with "valid_loss" is how torch's is mostly used.
        factor, patience, threshold, cooldown: as in torch, in looks.
        low: the lowest rate, a share of the lane's.

    Raises:
        ProblemError: a value out of range.

    >>> from etastar.policies.policy import Observation
    >>> policy = Plateau(signal="loss", every=1, patience=1, factor=0.5)
    >>> state, rates = policy.init(1.0), []
    >>> for step, loss in enumerate([3.0, 2.0, 2.0, 2.0, 1.0, 1.5]):
    ...     rate, state = policy.step(Observation(step, {"loss": loss}), state)
    ...     rates.append(float(rate))
    >>> rates
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]

    Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`.
    """

    factor: float = setting(0.1, PART)
    patience: int = setting(10, LOOKS)
    threshold: float = setting(1e-4, SHARE)
    """The three are torch's defaults, so that a run moves over from torch unchanged."""
    cooldown: int = setting(0, LOOKS)
    low: float = setting(0.0, SHARE)

    def fresh(self) -> dict[str, float]:
        """The best so far, looks in a row that were not better, looks of the cooldown that are left."""
        return {"best": self.worst, "bad": 0.0, "cooldown": 0.0}

    def react(self, value: torch.Tensor, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One step of torch's, for all lanes at once."""
        better = self.better(value, state["best"], self.threshold)
        cooling = state["cooldown"] > 0
        bad = torch.where(better | cooling, 0.0, state["bad"] + 1)
        drop = bad > self.patience
        lower = torch.maximum(state["rate"] * self.factor, state["lr"] * self.low)
        return {
            "lr": state["lr"],
            "rate": torch.where(drop, lower, state["rate"]),
            "best": torch.where(better, value, state["best"]),
            "bad": torch.where(drop, 0.0, bad),
            "cooldown": torch.where(drop, float(self.cooldown), (state["cooldown"] - 1).clamp(min=0.0)),
        }
