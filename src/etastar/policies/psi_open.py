"""`PsiOpen`: the rate as a closed form of the step and the loss, where nobody knows how many steps are to come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from etastar.arguments import FINITE, POSITIVE, word
from etastar.policies.policy import Every, Observation
from etastar.policies.setting import Checked, setting

WARMUP = 10
"""Steps of the linear warm-up: the smoothed loss looks back as far."""
LOOK = 25
"""Steps between two looks at the validation loss."""
LEAST = 0.01
"""Of (loss - floor) / (first loss - floor): a loss below its floor says no more than one near it."""
LOSSES = ("smoothed_loss", "valid_loss")


@dataclass(frozen=True)
class PsiOpen(Checked):
    """alpha_t = peak x min(1, (t + 1) / 10) x (1 + t / scale)^-fall x ((eps_t - floor) / (eps_0 - floor))^power

    fall = power = 0 is a constant, fall = .5 one over the root of the step, power > 0 with fall = 0 a function of the loss
    alone. It has no horizon.

    Args:
        fall, scale: power of the step, and the steps before which it is flat.
        power: of the loss.
        sees: which loss: the smoothed training loss, or that on `watch`.
        floor: what is taken off the loss: 0, or a guess of where it ends.

    Raises:
        ProblemError: a setting that will not do.

    >>> from etastar.policies.policy import rates_over
    >>> [round(float(r), 3) for r in rates_over(PsiOpen(fall=0.5, scale=5.0), 1.0, 21)][::5]
    [0.1, 0.424, 0.577, 0.5, 0.447]
    >>> policy = PsiOpen(power=0.5)
    >>> state, rates = policy.init(1.0), []
    >>> for step, loss in enumerate([4.0] * 10 + [1.0]):
    ...     rate, state = policy.step(Observation(step, {"smoothed_loss": loss}), state)
    ...     rates.append(round(float(rate), 3))
    >>> rates[-2:]
    [1.0, 0.5]
    """

    fall: float = setting(0.0, FINITE)
    scale: float = setting(100.0, POSITIVE)
    power: float = setting(0.0, FINITE)
    sees: str = "smoothed_loss"
    floor: float = setting(0.0, FINITE)

    def __post_init__(self) -> None:
        super().__post_init__()
        word("psi-open: sees", self.sees, LOSSES)

    @property
    def reads(self) -> tuple[str | Every, ...]:
        """The loss, where it has a power."""
        if not self.power:
            return ()
        return (Every(self.sees, LOOK) if self.sees == "valid_loss" else self.sees,)

    def share(self, step: int) -> float:
        """What the step alone makes of the lane's rate."""
        return min(1.0, (step + 1) / WARMUP) * (1 + step / self.scale) ** -self.fall

    def init(self, lr: Any) -> Any:
        """The lane's rate; where the loss is seen, the first one, too."""
        if not self.power:
            return lr
        lr = torch.as_tensor(lr, dtype=torch.float64)
        return {"lr": lr, "first": torch.full_like(lr, math.nan)}

    def step(self, observation: Observation, state: Any) -> tuple[Any, Any]:
        """The rate at this step."""
        if not self.power:
            return state * self.share(observation.step), state
        above = torch.as_tensor(observation[self.sees], dtype=torch.float64) - self.floor
        first = torch.where(state["first"].isnan(), above, state["first"])
        fallen = torch.nan_to_num(above / first, nan=1.0).clamp(LEAST, 1 / LEAST)
        return state["lr"] * self.share(observation.step) * fallen**self.power, {"lr": state["lr"], "first": first}
