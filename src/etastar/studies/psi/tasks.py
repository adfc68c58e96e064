"""On what the study is measured: small tasks in groups of siblings, and how much of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from etastar.core.design import Design, Plan
from etastar.core.estimate import Estimate
from etastar.core.lane import Lane, Runs
from etastar.core.problem import Problem
from etastar.designs.psi.forks import Forks
from etastar.designs.psi.repeats import Repeats
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.laws.psi.fork import Fork
from etastar.policies.policy import Policy
from etastar.problems.small import FAMILIES, Task
from etastar.problems.small.family import OPTIMIZERS
from etastar.studies.bench import Bench, OutOfTime
from etastar.verbs.psi.measured import UNKNOWN_LR, Forgetful, SmallBench, linear, updates_of
from etastar.verbs.workplace import Session

Found = TypeVar("Found")

NAMES = {
    "quick": ("digits-softmax", "digits-few", "cancer", "diabetes", "line", "text"),
    "full": (
        "digits-mlp", "digits-deep", "digits-few", "digits-wrong", "digits-softmax", "autoencoder", "cancer", "cancer-wrong",
        "diabetes", "diabetes-linear", "teacher", "line", "line-deep", "text",
    ),
}  # fmt: skip
"""Families by effort; named, so that the plan does not change when others are added. Convolution and attention are left out:
their two families take as long as ten of the others."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        steps: of the recorded experiments and of the runs that are driven at a known horizon.
        seeds: of every peak, log and fork; even, as halves of them are compared.
        fresh: seeds of what is driven.
        open_seeds: of what is driven where the horizon is unknown.
        horizons: that are drawn where none is known -> how many of the tasks are trained so far.
    """

    steps: int
    seeds: int
    fresh: int
    open_seeds: int
    horizons: dict[int, int]


SIZES = {
    "quick": Size(steps=60, seeds=2, fresh=3, open_seeds=1, horizons={60: 12, 240: 4}),
    "full": Size(steps=200, seeds=4, fresh=6, open_seeds=2, horizons={200: 28, 800: 12, 3000: 2}),
}


def tasks_of(effort: str) -> list[Task]:
    """Every family under every optimizer; the same order always."""
    known = {family.name: family for family in FAMILIES}
    steps = SIZES[effort].steps
    return [Task(known[name], optimizer, steps) for name in NAMES[effort] for optimizer in OPTIMIZERS]


def spread(tasks: list[Task], count: int) -> list[Task]:
    """So many of them, evenly over the list; optimizers take turns.

    >>> [task.name for task in spread(tasks_of("quick"), 3)]
    ['digits-softmax/sgd', 'cancer/adam', 'line/sgd']
    """
    if count >= len(tasks):
        return tasks
    places = [round(k * len(tasks) / count) for k in range(count)]
    return [tasks[p - p % 2 + k % 2] for k, p in enumerate(places)]


@dataclass
class Uncut:
    """A `Design` that is another one, and remembers whether time stopped it."""

    own: Design[Any]
    cut: bool = field(init=False, default=False)

    def planned(self) -> Plan:
        """As planned."""
        return self.own.planned()

    def ask(self) -> Sequence[Lane]:
        """What it asks."""
        return self.own.ask()

    def tell(self, outcomes: Runs) -> None:
        """Tell it."""
        self.own.tell(outcomes)

    def stop(self, flag: str) -> None:
        """Stop it."""
        self.cut = True
        self.own.stop(flag)

    def answer(self) -> Any:
        """Its answer.

        Raises:
            OutOfTime: time stopped it: half an experiment is no row.
        """
        if self.cut:
            raise OutOfTime
        return self.own.answer()


@dataclass
class Trained:
    """Trains arms on tasks for the rows of the study.

    Args:
        bench: the study's.
        small: what trains small tasks on it, and counts.
    """

    bench: Bench
    small: SmallBench

    @classmethod
    def on(cls, bench: Bench, seed: int, seeds: int) -> Trained:
        """On a study's bench."""
        return cls(bench, SmallBench(bench.place, seed, seeds))

    def on_test(self, task: Task, optimizer: object = None) -> Problem:
        """The task scored on the split kept for the end; policies may watch the one that choices are made by."""
        problem = replace(task.problem(scored_on="test"), watch=task.family.data()[1])
        return problem if optimizer is None else replace(problem, optimizer=optimizer)

    def runs(self, problem: Problem, arms: dict[str, tuple[Policy, float]], seeds: int, seed: int) -> dict[str, Runs]:
        """What the lanes of each arm did, all on the same seeds.

        Raises:
            OutOfTime: time was over before they had.
        """
        session = self.bench.place.of(problem)
        design = Repeats(session.facts.criterion, problem.steps, arms, seeds, seed)
        self._run(session, design)
        return design.outcomes

    def peak(self, task: Task) -> Estimate:
        """The tuned peak of linear decay, as `psi fit` finds it.

        Raises:
            OutOfTime: time was over before it had.
        """
        session, small = self.small.session(task), self.small
        policy, start = linear(task.steps), session.facts.lr or UNKNOWN_LR
        design = TunedPeak(session.facts.criterion, policy, task.steps, start, small.seeds, small.seed_of(task, "peak"))
        return self._run(session, design)

    def forks(self, task: Task, peak: float) -> tuple[Fork, ...]:
        """The experiments of `psi fit` on a task, and what each rate won over its segment.

        Raises:
            OutOfTime: time was over before they had.
        """
        session, updates = self.small.session(task), updates_of(self.small.session(task).problem)
        criterion, seeds, seed = session.facts.criterion, self.small.seeds, self.small.seed_of(task, "forks")
        return self._run(session, Forks(criterion, task.steps, peak, updates, task.name, task.group, seeds, seed))

    def _run(self, session: Session, design: Design[Found]) -> Found:
        """What a design finds; its lanes are not stored, as what is read of them is in the study's rows."""
        found = self.small.run(session, Uncut(design), Forgetful())
        session.crew.rest()
        return found
