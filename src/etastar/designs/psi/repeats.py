"""`Repeats`: policies at given rates on fresh seeds, all of them on the same: what they are judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Runs, Until
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
    _losses: dict[str, tuple[float, ...]] = field(init=False, default_factory=dict)
    _over: bool = field(init=False, default=False)

    def planned(self) -> Plan:
        """All of it."""
        return Plan(len(self.arms) * self.seeds, len(self.arms) * self.seeds * self.steps)

    def ask(self) -> Sequence[Lane]:
        """All lanes at once."""
        if self._over or self._losses:
            return []
        seeds = [derive_seed(self.seed, "repeat", k) for k in range(self.seeds)]
        return [
            Lane(lr, seed, self.steps, self.criterion, Until.END, policy)
            for policy, lr in self.arms.values()
            for seed in seeds
        ]

    def tell(self, outcomes: Runs) -> None:
        """Keep their losses."""
        for i, name in enumerate(self.arms):
            own = outcomes[i * self.seeds : (i + 1) * self.seeds]
            self._losses[name] = tuple(math.inf if o.scored_loss is None else o.scored_loss for o in own)

    def stop(self, flag: str) -> None:
        """Ask for nothing."""
        self._over = True

    def answer(self) -> dict[str, tuple[float, ...]]:
        """Name -> final losses, seed by seed."""
        return self._losses
