"""`Greedy`: raise the rate while the loss gets better, lower it while it does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from etastar.arguments import LOOKS, MULTIPLE, NOT_NEGATIVE, PART, SHARE
from etastar.policies.setting import setting
from etastar.policies.watching import Watching


@dataclass(frozen=True)
class Greedy(Watching):
    """rate <- min(rate / factor, high x lane's rate) when more than `patience` looks in a row were better than the best by
    `threshold`; rate <- max(factor x rate, low x lane's rate) when as many were not.

    After a raise `warmup` looks do not count, after a drop `cooldown`. After `reset` drops in a row at the lowest rate it
    starts anew. It never anneals by itself: put it before a cooldown, `greedy@0.8>linear` on the command line.

    It is Transformers' `GreedyLR`, stepped at every look, without its `eps`; `min_lr` and `max_lr` are shares here.

    Args:
        signal, every: see `Watching`.
        factor, patience, threshold, cooldown, warmup, reset: as in Transformers, in looks; the threshold is in the unit of
            the signal.
        low, high: the lowest and the highest rate, in the lane's.

    Raises:
        ProblemError: a value out of range.

    >>> from etastar.policies.policy import Observation
    >>> policy = Greedy(signal="loss", every=1, patience=1, factor=0.5)
    >>> state, rates = policy.init(1.0), []
    >>> for step, loss in enumerate([3.0, 2.0, 2.0, 2.0, 1.0]):
    ...     rate, state = policy.step(Observation(step, {"loss": loss}), state)
    ...     rates.append(float(rate))
    >>> rates
    [1.0, 2.0, 2.0, 1.0, 1.0]

    Source: Subramanian et al. 2025, arXiv 2512.14527; `transformers.optimization.GreedyLR`.
    """

    factor: float = setting(0.95, PART)
    patience: int = setting(10, LOOKS)
    threshold: float = setting(1e-6, NOT_NEGATIVE)
    """The three are Transformers' defaults, so that a run moves over unchanged."""
    cooldown: int = setting(0, LOOKS)
    warmup: int = setting(0, LOOKS)
    low: float = setting(0.0, SHARE)
    """Transformers' floor, 1e-3 whatever the rate in use, lies above the rates that most language models are trained at."""
    high: float = setting(10.0, MULTIPLE)
    """A decade above the lane's rate, where most networks diverge; Transformers' ceiling is 1."""
    reset: int = setting(500, LOOKS)

    def fresh(self) -> dict[str, float]:
        """The best so far, looks in a row that were better and that were not, looks to skip, drops left until a reset."""
        return {"best": self.worst, "good": 0.0, "bad": 0.0, "skip": 0.0, "left": float(self.reset)}

    def react(self, value: torch.Tensor, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One step of theirs, for all lanes at once."""
        skipping = state["skip"] > 0
        better = self.better(value, state["best"], self.threshold, relative=False) & ~skipping
        good = torch.where(better, state["good"] + 1, 0.0)
        bad = torch.where(better | skipping, 0.0, state["bad"] + 1)
        rise, drop = good > self.patience, bad > self.patience
        top, floor = state["lr"] * self.high, state["lr"] * self.low
        rate = torch.where(rise, torch.minimum(state["rate"] / self.factor, top), state["rate"])
        rate = torch.where(drop, torch.maximum(rate * self.factor, floor), rate)
        skip = torch.where(rise, float(self.warmup), (state["skip"] - 1).clamp(min=0.0))
        left = torch.where(rise, float(self.reset), state["left"] - (drop & (rate <= floor)).double())
        after = {
            "lr": state["lr"],
            "rate": rate,
            "best": torch.where(better, value, state["best"]),
            "good": torch.where(rise, 0.0, good),
            "bad": torch.where(drop, 0.0, bad),
            "skip": torch.where(drop, float(self.cooldown), skip),
            "left": left,
        }
        anew, again = self.init(state["lr"]) | {"skip": after["skip"]}, drop & (left <= 0)
        return {name: torch.where(again, anew[name], after[name]) for name in after}
