"""What the study measures: experiments on every task, then fresh runs under what was learnt from those of other groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from etastar.policies.psi_network import TRAINED, VERSION
from etastar.problems.small import Task
from etastar.studies.bench import Bench
from etastar.studies.psi.arms import Learner
from etastar.studies.psi.driven import driven
from etastar.studies.psi.recorded import Experiments, recorded
from etastar.studies.psi.tasks import SIZES, Size, Trained, spread, tasks_of
from etastar.studies.psi.unknown_horizon import driven_unknown
from etastar.studies.record import Row, row_id
from etastar.studies.study import Measurement, Setting

Measure = Callable[[Trained], Row]


class Planned:
    """The measurements of one run of the study: what they share is made when the first of them asks for it."""

    def __init__(self, setting: Setting) -> None:
        self.size: Size = SIZES[setting.effort]
        self.seed, self.effort = setting.seed, setting.effort
        self._on: Trained | None = None
        self._learner: Learner | None = None

    def measurement(self, what: str, task: Task, run: Callable[[Task, Trained], Row], **more: Any) -> Measurement:
        """One of them; its key says how much of everything there is, on which later rows build."""
        key = {"what": what, "task": task.family.name, "optimizer": task.optimizer, "steps": task.steps, **more}
        return Measurement(key | {"effort": self.effort}, partial(self._counted, partial(run, task)))

    def recorded(self, task: Task) -> Measurement:
        """The experiments on a task."""
        return self.measurement("recorded", task, recorded, seeds=self.size.seeds)

    def driven(self, task: Task) -> Measurement:
        """Fresh runs on a task; its key says of how many tasks was learnt, and which network is the shipped one."""
        learnt_from, network = len(tasks_of(self.effort)), row_id(VERSION, TRAINED)
        seeds = self.size.fresh
        return self.measurement("driven", task, self._driven, seeds=seeds, learnt_from=learnt_from, network=network)

    def unknown(self, task: Task) -> Measurement:
        """Fresh runs on a task over steps that no policy is told."""
        return self.measurement("unknown horizon", task, self._unknown, seeds=self.size.open_seeds)

    def _counted(self, run: Measure, bench: Bench) -> Row:
        trained = self._on = self._on or Trained.on(bench, self.seed, self.size.seeds)
        before = trained.small.new_steps, trained.small.steps
        row = run(trained)
        bench.new_gradient_steps += trained.small.new_steps - before[0]
        return {**row, "gradient_steps": trained.small.steps - before[1]}

    def _driven(self, task: Task, trained: Trained) -> Row:
        own = of_task(trained.bench.rows, task)
        if own["peak"] is None:
            return left_out(own)
        self._learner = self._learner or Learner(Experiments.of(trained.bench.rows), task.steps)
        return driven(own, task, self._learner, trained, self.size.fresh)

    def _unknown(self, task: Task, trained: Trained) -> Row:
        own = of_task(trained.bench.rows, task)
        return left_out(own) if own["peak"] is None else driven_unknown(own, task, trained, self.size.open_seeds)


def left_out(own: Row) -> Row:
    """The row of a task without a peak."""
    return {"family": own["family"], "group": own["group"], "losses": None, "said": "no peak"}


def of_task(rows: Sequence[Row], task: Task) -> Row:
    """The row of a task's experiments."""
    key = {"what": "recorded", "task": task.family.name, "optimizer": task.optimizer}
    return next(row for row in rows if all(row.get(name) == value for name, value in key.items()))


def plan(setting: Setting) -> list[Measurement]:
    """Experiments on every task first: what is driven is learnt from all of them."""
    planned, tasks = Planned(setting), tasks_of(setting.effort)
    unknown = [
        planned.unknown(Task(task.family, task.optimizer, steps))
        for steps, count in planned.size.horizons.items()
        for task in spread(tasks, count)
    ]
    return [planned.recorded(task) for task in tasks] + [planned.driven(task) for task in tasks] + unknown
