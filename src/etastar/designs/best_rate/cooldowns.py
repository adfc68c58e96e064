"""Cooldowns branched from the trunk of a constant rate: what it would end at, at several horizons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until
from etastar.core.randomness import derive_seed
from etastar.errors import ProblemError
from etastar.policies.schedule import Schedule

SHARE = 0.2
"""Of a horizon that is cooled down: a fifth gives about what a whole linear decay does (Haegele 2024, arXiv 2405.18392)."""


@dataclass(frozen=True)
class Cooled:
    """What one rate ends at when it is cooled down at one horizon.

    Args:
        lr: the trunk's rate.
        steps: the horizon, its cooldown included.
        losses: scored losses, one a seed that did not break.
        broken: seeds whose lane diverged or raised.
    """

    lr: float
    steps: int
    losses: tuple[float, ...]
    broken: int

    @property
    def loss(self) -> float:
        """Their mean; NaN where every lane broke."""
        return statistics.fmean(self.losses) if self.losses else math.nan


@dataclass
class Cooldowns:
    """Every rate on every seed at every horizon; a `Design`.

        rate(t) = lr                            t < n - c
                  lr x curve((n - t) / c)       t >= n - c,     c = round(share x n), for each horizon n

    Lanes of one rate and seed begin alike, so an engine trains their trunk once: horizons n/4, n/2 and n with a fifth cooled
    down cost 1.15 n steps instead of 1.75 n.

    Args:
        criterion: when a lane counts as having started to train.
        rates: of the trunks.
        horizons: in steps.
        share: of each horizon that is cooled down, in (0, 1).
        curve: of the cooldown, as in `Schedule`.
        seeds: a rate's trunks.
        seed: from which the lanes' are derived.

    Raises:
        ProblemError: no rate or horizon, a share outside (0, 1), or a horizon too short for a trunk and a cooldown.

    >>> design = Cooldowns(Criterion(), rates=(0.1,), horizons=(100, 200, 400))
    >>> design.planned()
    Plan(lanes=3, steps=460)
    """

    criterion: Criterion
    rates: Sequence[float]
    horizons: Sequence[int]
    share: float = SHARE
    curve: str = "sqrt"
    seeds: int = 1
    seed: int = 0
    _told: list[Outcome] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if not self.rates or not self.horizons or self.seeds < 1:
            raise ProblemError("Cooldowns got no rates, horizons or seeds; expected at least one of each")
        if not 0 < self.share < 1:
            raise ProblemError(f"Cooldowns' share is {self.share!r}; expected a share of the horizon in (0, 1), e.g. 0.2")
        if short := [n for n in self.horizons if not 0 < self._cooled(n) < n]:
            raise ProblemError(
                f"the horizon {short[0]} has no room for a trunk and a cooldown of {self.share:g}; expected more"
            )
        self._left = [
            self._lane(lr, derive_seed(self.seed, "cooldown", k), n)
            for k in range(self.seeds)
            for lr in self.rates
            for n in sorted(set(self.horizons))
        ]
        self._lanes = len(self._left)

    def planned(self) -> Plan:
        """Trunks once, and every cooldown."""
        horizons = sorted(set(self.horizons))
        each = max(n - self._cooled(n) for n in horizons) + sum(map(self._cooled, horizons))
        return Plan(self._lanes, each * len(self.rates) * self.seeds)

    def ask(self) -> Sequence[Lane]:
        """One seed at all rates and horizons after the other: a time limit is looked at in between."""
        return self._left[: len(self.rates) * len(set(self.horizons))]

    def tell(self, outcomes: Runs) -> None:
        """Keep them."""
        self._left = self._left[len(outcomes) :]
        self._told += outcomes

    def stop(self, flag: str) -> None:
        """Ask for no further seed."""
        self._left = []

    def answer(self) -> tuple[Cooled, ...]:
        """By rate and horizon."""
        found: dict[tuple[float, int], list[Outcome]] = {}
        for outcome in self._told:
            found.setdefault((outcome.lane.lr, outcome.lane.steps), []).append(outcome)
        return tuple(_cooled(lr, steps, own) for (lr, steps), own in sorted(found.items()))

    def _cooled(self, steps: int) -> int:
        return round(self.share * steps)

    def _lane(self, lr: float, seed: int, steps: int) -> Lane:
        policy = Schedule(decay=self.share, curve=self.curve).over(steps)
        return Lane(lr, seed, steps, self.criterion, Until.END, policy)


def _cooled(lr: float, steps: int, outcomes: Sequence[Outcome]) -> Cooled:
    losses = tuple(loss for o in outcomes if (loss := o.scored_loss) is not None)
    return Cooled(lr, steps, losses, len(outcomes) - len(losses))
