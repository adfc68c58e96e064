"""The trials of a search, what they count as, and what they amount to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from etastar.core.lane import Outcome
from etastar.designs.search.search_space import Space

LOST = 2.0
"""What a failed lane counts as: this many times its loss before training; no lane counts for more."""
EDGE = 0.05
"""A rate within this share of the range (in its logarithm) from an end lies on the edge."""


@dataclass
class Trial:
    """One setting of the hyper-parameters and what became of it.

    Args:
        number: in the order asked.
        params: name -> value.
        lr: the rate trained with: the parameter, rounded as every lane's.
        loss: the mean over seeds at the end of the schedule (at the last rung, if it was pruned); None until told.
        losses: of each seed.
        diverged: lanes of the last rung that diverged, or failed in another way.
        steps: gradient steps spent, all rungs and seeds.
        state: "running", "complete" or "pruned".
        rungs: (steps, mean loss) of each rung trained.
    """

    TOLD: ClassVar = ("number", "params", "lr", "loss", "losses", "diverged", "state", "steps")

    number: int
    params: dict[str, Any]
    lr: float
    loss: float | None = None
    losses: tuple[float, ...] = ()
    diverged: int = 0
    steps: int = 0
    state: str = "running"
    rungs: list[tuple[int, float]] = field(default_factory=list)

    @property
    def trained(self) -> bool:
        """Whether it ran its whole schedule and no lane of it failed."""
        return self.state == "complete" and not self.diverged


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        trials: all that were told, in the order asked.
        space: as it was at the end.
        first_loss: of the first lane, before any update; see `Outcome.start_loss`.
        widened: how often the range of rates was made longer.
        stopped: the flag with which it was stopped early, if it was.
        importance: name -> share of the variation among good trials, where there are several parameters.
    """

    trials: tuple[Trial, ...]
    space: Space
    first_loss: float
    widened: int
    stopped: str | None
    importance: dict[str, float] | None

    @property
    def best(self) -> Trial | None:
        """The trained trial of the lowest loss: of many, the one whose seeds suited it, too."""
        return min((t for t in self.trials if t.trained), key=lambda t: t.loss or 0.0, default=None)


def objective(outcome: Outcome, start: float = math.nan) -> float:
    """The objective of one lane: validation loss at the end, or the training loss of its last window without such data.

    A failed lane counts as `LOST` times its loss before training, and no lane for more.

    Args:
        start: the loss before training of another lane, for one that was broken off before it had any.
    """
    start = next((x for x in (outcome.start_loss, start) if math.isfinite(x)), 1.0)
    worst = start + (LOST - 1) * abs(start)
    return worst if outcome.scored_loss is None else min(outcome.scored_loss, worst)


def on_edge(space: Space, lr: float) -> int:
    """-1 if `lr` lies on the lower edge of its range, 1 if on the upper, else 0; never for a list of choices.

    >>> on_edge(Space.of({"lr": {"low": 0.01, "high": 1.0}}), 0.98)
    1
    """
    p = space["lr"]
    if p.choices is not None or p.low is None or p.high is None:
        return 0
    share = math.log(lr / p.low) / math.log(p.high / p.low)
    return -1 if share < EDGE else 1 if share > 1 - EDGE else 0
