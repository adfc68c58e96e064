"""`Repeats`: policies at given rates on fresh seeds, all of them on the same: what they are judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until
from etastar.core.randomness import derive_seed
from etastar.policies.policy import Policy


@dataclass
class Repeats:
    """Every arm on every seed; the answer is its final losses, infinite where a lane broke. A `Design`.

    Args:
        criterion: of the lanes.
        steps: of a lane.
        arms: name -> (policy, rate).
        seeds: an arm.
        seed: from which the lanes' are derived.
    """

    criterion: Criterion
    steps: int
    arms: Mapping[str, tuple[Policy, float]]
    seeds: int = 8
    seed: int = 0
    outcomes: dict[str, Runs] = field(init=False, default_factory=dict)
    """Name -> what its lanes did."""
    _over: bool = field(init=False, default=False)

    def planned(self) -> Plan:
        """All of it."""
        return Plan(len(self.arms) * self.seeds, len(self.arms) * self.seeds * self.steps)

    def ask(self) -> Sequence[Lane]:
        """All lanes at once."""
        if self._over or self.outcomes:
            return []
        seeds = [derive_seed(self.seed, "repeat", k) for k in range(self.seeds)]
        return [
            Lane(lr, seed, self.steps, self.criterion, Until.END, policy)
            for policy, lr in self.arms.values()
            for seed in seeds
        ]

    def tell(self, outcomes: Runs) -> None:
        """Keep them."""
        self.outcomes = {name: outcomes[i * self.seeds : (i + 1) * self.seeds] for i, name in enumerate(self.arms)}

    def stop(self, flag: str) -> None:
        """Ask for nothing."""
        self._over = True

    def answer(self) -> dict[str, tuple[float, ...]]:
        """Name -> final losses, seed by seed."""
        return {name: tuple(map(final_loss, own)) for name, own in self.outcomes.items()}


def final_loss(outcome: Outcome) -> float:
    """What a lane is scored on; infinite where it broke."""
    return math.inf if outcome.scored_loss is None else outcome.scored_loss
