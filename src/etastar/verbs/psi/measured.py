"""What is trained to learn the ideal rate: a peak, forks, and fresh runs, task by task."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple, TypeVar

from etastar import arguments
from etastar.core.design import TIME_LIMIT, Design, Engine, Plan, Store
from etastar.core.estimate import Estimate
from etastar.core.lane import Lane, Outcome, Runs
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.psi.forks import Forks
from etastar.designs.psi.repeats import Repeats
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.errors import ProblemError
from etastar.laws.psi.fork import Fork
from etastar.policies.policy import Policy
from etastar.policies.schedule import Schedule
from etastar.problems.small import FAMILIES, Task
from etastar.problems.small.family import OPTIMIZERS
from etastar.verbs.answer import Made
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.find.find import start_rate
from etastar.verbs.options import Options
from etastar.verbs.prices import duration
from etastar.verbs.workplace import Session, Workplace

Found = TypeVar("Found")
Item = TypeVar("Item")
Arms = Mapping[str, tuple[Policy, float]]
"""Name -> (policy over the task's steps, rate)."""
SECONDS, SIDE_BY_SIDE = 2.3e-4, 8e-5
"""Of a core, for a step of a lane of a small task: 3.6 million of them, a dozen lanes at a time in two workers beside other
programs, took 840; 2.3 million of forks, more at a time, three minutes."""
UNKNOWN_LR = 1e-2
"""Centre of the rates where the optimizer says none."""


class Peak(NamedTuple):
    """A task and the tuned peak of a policy on it, or why there is none."""

    task: Task
    peak: Estimate


class SmallBench:
    """Trains what is asked of small tasks, and counts it. Of the lanes it keeps what they cost: there are ten thousands.

    Args:
        place: where.
        seed: of the measurement.
        seeds: of every peak and fork.
    """

    def __init__(self, place: Workplace, seed: int, seeds: int) -> None:
        self.place, self.seed, self.seeds = place, seed, seeds
        self.steps, self.new_steps, self.full_runs, self.lanes, self.engines = 0, 0, 0.0, 0, set[str]()
        self._counted: dict[int, int] = {}
        self._sessions: dict[tuple[Task, str], Session] = {}

    def peak(self, task: Task, policy: Policy | None = None) -> Peak:
        """The tuned peak of linear decay, or of another policy, by the split that choices are made by."""
        session = self.session(task)
        start = session.facts.lr or UNKNOWN_LR
        seed = self.seed_of(task, "peak")
        design = TunedPeak(session.facts.criterion, policy or linear(task.steps), task.steps, start, self.seeds, seed)
        return Peak(task, self.run(session, design))

    def forks(self, task: Task, peak: float) -> tuple[Fork, ...]:
        """The experiments of a task."""
        session = self.session(task)
        updates, seed = updates_of(session.problem), self.seed_of(task, "forks")
        criterion = session.facts.criterion
        design = Forks(criterion, task.steps, peak, updates, task.name, task.group, self.seeds, seed)
        return self.run(session, design, Lean(session, design.traced))

    def start(self, task: Task) -> float:
        """Where a search begins that knows nothing of the task."""
        session = self.session(task)
        return start_rate(session.problem, session.facts)

    def search(self, task: Task, effort: str, budget: float | None = None) -> Estimate:
        """The peak of linear decay that a search finds, by the split that choices are made by: an effort's, or of so many
        full runs under another name."""
        session = self.session(task)
        most, linear_decay = EFFORTS[effort] if budget is None else budget, linear(task.steps)
        seed = self.seed_of(task, effort)
        design = BestLR(session.facts.criterion, task.steps, linear_decay, self.start(task), most, seed=seed)
        return self.run(session, design).lr

    def fresh(self, task: Task, arms: Arms, seeds: int) -> dict[str, tuple[float, ...]]:
        """Final losses on the split that is kept for the end, on seeds that nothing else has seen."""
        session = self.session(task, "test")
        return self.run(session, Repeats(session.facts.criterion, task.steps, arms, seeds, self.seed_of(task, "fresh")))

    def once(self, task: Task, arms: Arms, seeds: int, what: str, *, kept: bool = False) -> dict[str, tuple[float, ...]]:
        """Final losses on the split that choices are made by; stored where `kept`: an evolution makes a hundred thousand."""
        session = self.session(task)
        design = Repeats(session.facts.criterion, task.steps, arms, seeds, self.seed_of(task, what))
        return self.run(session, design, None if kept else Forgetful(self.place.options.on_outcome))

    def made(self, began: float) -> Made:
        """How the answer was made."""
        cost = {
            "gradient_steps": self.steps,
            "new_gradient_steps": self.new_steps,
            "full_runs": self.full_runs,
            "seconds": time.monotonic() - began,
        }
        flags = (TIME_LIMIT,) if self.place.late() else ()
        engines = ", ".join(sorted(self.engines))
        return Made(seed=self.seed, optimizer="", cost=cost, flags=flags, let_go=self.lanes, engine=engines)

    def in_time(self, items: Iterable[Item]) -> Iterator[Item]:
        """One after the other while there is time."""
        return takewhile(lambda _: not self.place.late(), items)

    def session(self, task: Task, split: str = "valid") -> Session:
        """That of a task scored on a split, the same every time."""
        key = (task, split)
        if key not in self._sessions:
            self._sessions[key] = self.place.of(task.problem(scored_on=split))
        return self._sessions[key]

    def run(self, session: Session, design: Design[Found], store: Store | None = None) -> Found:
        """What a design finds; its lanes are counted and let go of. Without a `store` the session keeps their ends."""
        found = session.run(design, store or Lean(session))
        steps, cost = session.runs.gradient_steps, session.cost()
        self.steps += steps
        known = int(cost["new_gradient_steps"])  # what nothing keeps does not count there
        forgotten = steps if isinstance(store, Forgetful) else 0
        self.new_steps += forgotten + known - self._counted.get(id(session), 0)
        self._counted[id(session)] = known
        self.full_runs += steps / session.problem.steps
        self.lanes += len(session.runs)
        session.runs = Runs()
        self.engines.add(session.engine.name)
        return found

    def seed_of(self, task: Task, what: str) -> int:
        """From which the seeds of what is trained for one purpose are derived."""
        return derive_seed(self.seed, "psi", task.name, task.steps, what)


class Lean:
    """A `Store` in front of a session, which keeps of its lanes what they ended at, and of their way what is asked for.

    Whole ways of the lanes of a fit, two hundred rows each, were 350 MB.

    Args:
        session: trains and stores the lanes.
        traced: lane -> the step until which its losses are kept; no other lane's are.
    """

    def __init__(self, session: Session, traced: Mapping[Lane, int] | None = None) -> None:
        self._session, self._traced = session, {} if traced is None else traced

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """As the session's."""
        return self._session.get_or_train(_Shortened(engine, self._traced), problem, lanes)


@dataclass(frozen=True)
class _Shortened:
    """An engine whose outcomes have no epochs, and losses only as far as `traced` says."""

    engine: Engine
    traced: Mapping[Lane, int]

    @property
    def name(self) -> str:
        return self.engine.name

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for index, outcome in self.engine.train(problem, lanes):
            until = self.traced.get(outcome.lane, -1)
            yield index, replace(outcome, epochs=(), trace=tuple(row for row in outcome.trace if row.step <= until))


class Forgetful:
    """A `Store` that keeps nothing.

    Args:
        on_outcome: called with every lane, trained now.
    """

    def __init__(self, on_outcome: Callable[[Outcome, bool], None] | None = None) -> None:
        self._told = on_outcome or (lambda outcome, new: None)

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """All of the lanes, trained."""
        found: dict[int, Outcome] = {}
        for i, outcome in engine.train(problem, lanes):
            found[i] = outcome
            self._told(outcome, True)
        return Runs(found[i] for i in range(len(lanes)))


def announce(options: Options, plans: Iterable[Plan], seconds: float = SECONDS) -> None:
    """Say what it all takes at most, before any of it is trained, at so many seconds a step."""
    plan, cores = sum(plans, Plan(0, 0)), options.workers or os.cpu_count() or 1
    if options.on_plan:
        much = f"{plan.lanes:,} lanes of small networks, {plan.steps:,} gradient steps"
        sentence = f"at most {much}, about {duration(plan.steps * seconds / cores)} on {cores} cores"
        options.on_plan(sentence, plan.lanes)


def linear(steps: int) -> Policy:
    """Linear decay over so many steps."""
    return Schedule(decay=1.0, curve="linear").over(steps)


def updates_of(problem: Problem) -> float:
    """Optimizer steps in a pass over the data; all of them, where it has no end."""
    batches = problem.parts.batches.per_epoch
    return max(batches / problem.accumulate, 1.0) if batches else float(problem.steps)


def small_tasks(families: Sequence[str] | None, optimizers: Sequence[str], steps: int, groups: int = 2) -> list[Task]:
    """The small tasks of these names under these optimizers.

    Raises:
        ProblemError: no such family or optimizer, or fewer groups than that.
    """
    known = {family.name: family for family in FAMILIES}
    names = list(known) if families is None else list(families)
    for name in names:
        arguments.word("family", name, known)
    for optimizer in optimizers:
        arguments.word("optimizer", optimizer, OPTIMIZERS)
    arguments.STEPS("steps", steps)
    tasks = [Task(known[name], optimizer, steps) for name in names for optimizer in optimizers]
    if len(found := sorted({task.group for task in tasks})) < groups:
        raise ProblemError(
            f"the tasks are of the groups {', '.join(found) or 'none'}; expected {groups} groups or more, so that what is "
            f"learnt is driven on others: families are {', '.join(f'{f.name} ({f.group})' for f in FAMILIES)}"
        )
    return tasks
