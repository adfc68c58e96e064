"""`Forks`: from states of a training on at other rates for a while, and then the same way down: what each rate was worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until
from etastar.core.randomness import derive_seed
from etastar.laws.psi.fork import Fork, state_of
from etastar.laws.psi.ideal import gain_of
from etastar.policies.compose import Then, Times, squeezed
from etastar.policies.policy import Constant, Policy
from etastar.policies.schedule import Schedule

PLACES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
"""Shares of the steps at which is forked."""
SEGMENT = 0.1
"""Share of the steps that a fork's own rate lasts: shorter ones change the loss by less than seeds do."""
MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of peak x (1 - s), a factor of two apart."""
WIDER = 4.0
"""By this factor beyond the end where an end is the best: a quarter of small networks' states have it there."""
PATHS: Mapping[str, Policy] = {
    "linear": Schedule(decay=1.0, curve="linear"),
    "constant": Constant(),
    "half": Times(Schedule(decay=1.0, curve="linear"), 0.5),
    "double": Times(Schedule(decay=1.0, curve="linear"), 2.0),
}
"""Ways to a state: the reference, one that never decays, and two at a wrong peak."""


class ForkArm(NamedTuple):
    """A fork of one seed: from `path` at step `at` on, `multiple` x the reference."""

    path: str
    at: int
    multiple: float


def fork_policy(path: Policy, at: int, multiple: float, steps: int) -> Policy:
    """`path` until step `at`; then multiple x linear decay for a tenth of the steps; then linear decay.

        rate(t) = path(t)                          t < at
                  multiple x peak x (1 - t / N)    at <= t < at + N / 10
                  peak x (1 - t / N)               t >= at + N / 10

    >>> from etastar.policies.policy import rates_over
    >>> [round(r, 2) for r in rates_over(fork_policy(Constant(), 2, 2.0, 10), 1.0, 10)]
    [1.0, 1.0, 1.6, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    """
    end = min(at + max(round(SEGMENT * steps), 1), steps)
    start, stop = 1 - at / steps, 1 - end / steps
    segment: Policy = Times(Schedule(decay=1.0, curve="linear", floor=stop / start).over(end - at), multiple * start)
    if end < steps:
        segment = Then(segment, end - at, Times(Schedule(decay=1.0, curve="linear").over(steps - end), stop))
    return Then(squeezed(path, steps), at, segment, steps=steps) if at else segment


@dataclass
class Forks:
    """Every path, place, multiple and seed; wider where an end was the best. A `Design`.

    Args:
        criterion: of the lanes.
        steps: of a lane.
        peak: of the reference, linear decay.
        updates: optimizer steps in a pass over the data.
        task, group: what the rows are called.
        seeds: a fork.
        seed: from which the lanes' are derived.
    """

    criterion: Criterion
    steps: int
    peak: float
    updates: float
    task: str
    group: str
    seeds: int = 4
    seed: int = 0
    traced: dict[Lane, int] = field(init=False, default_factory=dict)
    """Lane -> the step until which its losses are read: of every state those of the fork that stays at the reference."""
    _told: dict[ForkArm, list[Outcome]] = field(init=False, default_factory=dict)
    _asked: list[ForkArm] = field(init=False, default_factory=list)
    _over: bool = field(init=False, default=False)

    def planned(self) -> Plan:
        """The trunks once, every arm, and one wider arm a state."""
        arms = self._first()
        states = {arm[:2] for arm in arms}
        steps = sum(self.steps - arm.at for arm in arms) + sum(self.steps for _ in states) + self.steps * len(PATHS)
        return Plan((len(arms) + len(states)) * self.seeds, steps * self.seeds)

    def ask(self) -> Sequence[Lane]:
        """All arms; then those beyond the ends that were the best."""
        if self._over:
            return []
        self._asked = self._wider() if self._told else self._first()
        self._over = bool(self._told)
        return [self._lane(arm, k) for arm in self._asked for k in range(self.seeds)]

    def tell(self, outcomes: Runs) -> None:
        """Keep them."""
        for i, arm in enumerate(self._asked[: len(outcomes) // self.seeds]):
            self._told[arm] = list(outcomes[i * self.seeds : (i + 1) * self.seeds])

    def stop(self, flag: str) -> None:
        """Ask for nothing more."""
        self._over = True

    def answer(self) -> tuple[Fork, ...]:
        """One row an arm and seed."""
        return tuple(self._row(arm, k, outcome) for arm, own in self._told.items() for k, outcome in enumerate(own))

    def _first(self) -> list[ForkArm]:
        places = [round(share * self.steps) for share in PLACES]
        return [ForkArm(path, at, m) for path in PATHS for at in places if at or path == "linear" for m in MULTIPLES]

    def _wider(self) -> list[ForkArm]:
        found = []
        for path, at in dict.fromkeys(arm[:2] for arm in self._told):
            own = {arm.multiple: self._rows(arm) for arm in self._told if arm[:2] == (path, at)}
            gains = {m: gain_of(rows, own[1.0]) for m, rows in own.items()}
            best = min(gains, key=lambda m: (gains[m], m))
            if best in (MULTIPLES[0], MULTIPLES[-1]):
                found.append(ForkArm(path, at, best / WIDER if best < 1 else best * WIDER))
        return found

    def _rows(self, arm: ForkArm) -> list[Fork]:
        return [self._row(arm, k, outcome) for k, outcome in enumerate(self._told[arm])]

    def _lane(self, arm: ForkArm, k: int) -> Lane:
        policy = fork_policy(PATHS[arm.path], arm.at, arm.multiple, self.steps)
        lane = Lane(self.peak, self._seed(k), self.steps, self.criterion, Until.END, policy)
        if arm.multiple == 1.0:
            self.traced[lane] = arm.at
        return lane

    def _seed(self, k: int) -> int:
        return derive_seed(self.seed, "fork", k)

    def _row(self, arm: ForkArm, k: int, outcome: Outcome) -> Fork:
        s = arm.at / self.steps
        eps, convergence = state_of(self._told[arm._replace(multiple=1.0)][k], arm.at)
        end = min(arm.at + max(round(SEGMENT * self.steps), 1), self.steps)
        final = outcome.scored_loss
        return Fork(
            task=self.task,
            group=self.group,
            path=arm.path,
            seed=self._seed(k),
            epoch=arm.at / self.updates,
            s=s,
            multiple=arm.multiple,
            lr=self.peak * (1 - s) * arm.multiple,
            eps=eps,
            convergence=convergence,
            final=math.inf if final is None else final,
            soon=eps - state_of(outcome, end)[0] if outcome.steps >= end and _whole(outcome) else math.nan,
        )


def _whole(outcome: Outcome) -> bool:
    """Whether its losses are there to its end."""
    return bool(outcome.trace) and outcome.trace[-1].step == outcome.steps - 1
