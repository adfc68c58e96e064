"""On what the study is measured: small tasks in groups of siblings, and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass, replace

from etastar.core.lane import Runs
from etastar.core.problem import Problem
from etastar.designs.psi.repeats import Repeats
from etastar.policies.policy import Policy
from etastar.problems.small import FAMILIES, Task
from etastar.problems.small.family import OPTIMIZERS
from etastar.studies.bench import Bench, OutOfTime
from etastar.verbs.psi.measured import SmallBench

NAMES = {
    "quick": ("digits-softmax", "digits-few", "cancer", "diabetes", "line", "text"),
    "full": (
        "digits-mlp", "digits-deep", "digits-few", "digits-wrong", "digits-conv", "digits-attention", "digits-softmax",
        "autoencoder", "cancer", "cancer-wrong", "diabetes", "diabetes-linear", "teacher", "line", "line-deep", "text",
    ),
}  # fmt: skip
"""Families by effort; named, so that the plan does not change when others are added."""


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
    "full": Size(steps=200, seeds=4, fresh=8, open_seeds=2, horizons={200: 32, 800: 12, 3000: 4}),
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
class Trained:
    """Trains arms on tasks for the rows of the study.

    Args:
        bench: the study's.
        seed: of the study.
        seeds: of every peak and fork.
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
        self.small.run(session, design)
        self.in_time()
        session.crew.rest()
        return design.outcomes

    def in_time(self) -> None:
        """Raise `OutOfTime` where what was just measured may have been cut."""
        if self.bench.place.late():
            raise OutOfTime
