"""What is trained to learn the ideal rate: a peak, forks, and fresh runs, task by task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from etastar.core.design import Design
from etastar.core.estimate import Estimate
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.designs.psi.forks import Forks
from etastar.designs.psi.repeats import Repeats
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.laws.psi.fork import Fork
from etastar.policies.policy import Policy
from etastar.policies.schedule import Schedule
from etastar.problems.small.family import Task
from etastar.verbs.answer import Made
from etastar.verbs.workplace import Session, Workplace

Found = TypeVar("Found")
UNKNOWN_LR = 1e-2
"""Centre of the rates where the optimizer says none."""


class Peak(NamedTuple):
    """A task and the peak of its linear decay, or why there is none."""

    task: Task
    peak: Estimate


class Bench:
    """Trains what is asked of small tasks, and counts it. Of the lanes it keeps what they cost: there are ten thousands.

    Args:
        place: where.
        seed: of the measurement.
        seeds: of every peak and fork.
    """

    def __init__(self, place: Workplace, seed: int, seeds: int) -> None:
        self.place, self.seed, self.seeds = place, seed, seeds
        self.steps, self.engines = 0, set[str]()

    def peak(self, task: Task) -> Peak:
        """The tuned peak of linear decay, by the split that choices are made by."""
        session = self.place.of(task.problem())
        start = session.facts.lr or UNKNOWN_LR
        seed = self._seed(task, "peak")
        design = TunedPeak(session.facts.criterion, linear(task.steps), task.steps, start, self.seeds, seed)
        return Peak(task, self._run(session, design))

    def forks(self, task: Task, peak: float) -> tuple[Fork, ...]:
        """The experiments of a task."""
        session = self.place.of(task.problem())
        updates, seed = updates_of(session.problem), self._seed(task, "forks")
        criterion = session.facts.criterion
        return self._run(session, Forks(criterion, task.steps, peak, updates, task.name, task.group, self.seeds, seed))

    def fresh(self, task: Task, arms: Mapping[str, tuple[Policy, float]], seeds: int) -> dict[str, tuple[float, ...]]:
        """Final losses on the split that is kept for the end, on seeds that nothing else has seen."""
        session = self.place.of(task.problem(scored_on="test"))
        return self._run(session, Repeats(session.facts.criterion, task.steps, arms, seeds, self._seed(task, "fresh")))

    def made(self, began: float) -> Made:
        """How the answer was made."""
        cost = {"gradient_steps": self.steps, "seconds": time.monotonic() - began}
        return Made(seed=self.seed, optimizer="", cost=cost, engine=", ".join(sorted(self.engines)))

    def _run(self, session: Session, design: Design[Found]) -> Found:
        found = session.run(design)
        self.steps += session.runs.gradient_steps
        self.engines.add(session.engine.name)
        return found

    def _seed(self, task: Task, what: str) -> int:
        return derive_seed(self.seed, "psi", task.name, task.steps, what)


def linear(steps: int) -> Policy:
    """Linear decay over so many steps."""
    return Schedule(decay=1.0, curve="linear").over(steps)


def updates_of(problem: Problem) -> float:
    """Optimizer steps in a pass over the data; all of them, where it has no end."""
    batches = problem.parts.batches.per_epoch
    return max(batches / problem.accumulate, 1.0) if batches else float(problem.steps)
