"""`fit_psi`: the ideal rate in closed form, from experiments on small tasks, judged by fresh runs on others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np

from etastar import arguments
from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion
from etastar.designs.psi.forks import Forks
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.errors import attributed
from etastar.laws.psi.closed_form import ClosedForm
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.fork import Fork
from etastar.laws.psi.ideal import Ideal, ideals_of
from etastar.policies.policy import Policy
from etastar.policies.psi import FORMS
from etastar.problems.small.family import OPTIMIZERS, Task
from etastar.verbs.answer import Answer
from etastar.verbs.options import Options
from etastar.verbs.psi.measured import SIDE_BY_SIDE, UNKNOWN_LR, Peak, SmallBench, announce, linear, small_tasks
from etastar.verbs.workplace import Workplace

LINEAR = "linear"
"""The reference: decay to nothing over all steps, at its tuned peak."""
Losses = dict[str, dict[str, tuple[float, ...]]]
"""Task -> arm -> final losses, seed by seed."""


class JudgedForm(NamedTuple):
    """A form, fitted without a task's group and driven on that task at the peak of linear decay.

    `ratio`: final loss to linear decay's, geometric mean over tasks; `decades`: root mean square of its error on the ideal
    rates of the groups left out.
    """

    form: str
    formula: str
    numbers: tuple[float, ...]
    ratio: Estimate
    median: float
    won: int
    tied: int
    lost: int
    decades: float


class AtShare(NamedTuple):
    """The ideal rate / peak at a share `s` of the steps: quartiles over tasks, and the winner's."""

    s: float
    low: float
    median: float
    high: float
    form: float
    states: int
    at_an_end: int


class OfTask(NamedTuple):
    """One task: the peak of its linear decay, and what the winner's final loss is to linear decay's."""

    task: str
    group: str
    peak: float
    ratio: float


@dataclass(frozen=True, kw_only=True)
class PsiAnswer(Answer):
    """The ideal rate in closed form.

    Args:
        steps: of every lane.
        forms: judged, best first.
        closed_form: the best form, fitted to all tasks.
        shares: the ideal rate over the training.
        tasks: that were driven; left_out: task -> why it was not.
        forks: every experiment.
        ideals: of their states.
    """

    command = "psi"
    TOLD: ClassVar = ("steps", "closed_form", "forms", "shares", "tasks", "left_out")

    steps: int
    forms: tuple[JudgedForm, ...]
    closed_form: ClosedForm | None
    shares: tuple[AtShare, ...]
    tasks: tuple[OfTask, ...]
    left_out: dict[str, str]
    forks: tuple[Fork, ...] = field(default=(), repr=False)
    ideals: tuple[Ideal, ...] = field(default=(), repr=False)

    @property
    def ratio(self) -> Estimate:
        """Of the best form."""
        if self.closed_form is None:
            return Estimate.none(Status.TOO_FEW_POINTS, "time was over before any form was driven; the same command goes on")
        return self.forms[0].ratio

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.closed_form is None:
            return f"no answer ({self.ratio.status.value}): {self.ratio.reason}"
        best, ratio = self.forms[0], self.ratio
        low, high = ratio.low or 0.0, ratio.high or 0.0
        held = "better than" if high < 1 else "worse than" if low > 1 else "no different from"
        return (
            f"{best.form}, the best of {len(self.forms)} forms: {held} linear decay at the same peak, final loss x "
            f"{ratio.value:.3f} [{low:.3f}, {high:.3f}]; {best.won} tasks won, {best.tied} tied, {best.lost} lost over "
            f"{self.steps} steps"
        )


@attributed
def fit_psi(
    families: Sequence[str] | None = None,
    *,
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    steps: int = 200,
    seeds: int = 4,
    fresh: int = 8,
    seed: int = 0,
    options: Options | None = None,
) -> PsiAnswer:
    """Fork small tasks, fit closed forms of the ideal rate to what was best, and drive them on tasks of other groups.

    Args:
        families: names of `etastar.problems.small.FAMILIES`; None: all.
        optimizers: of `sgd` (with momentum) and `adam`.
        steps: of a training.
        seeds: of every peak and fork.
        fresh: seeds on which the forms are driven, on data kept for it.
        seed: of the measurement.
        options: store, workers, limits, progress.

    Raises:
        ProblemError: an argument cannot be used, or the tasks are of one group, so that none can be left out.
        StoreError: the store cannot be used.
    """
    began, options = time.monotonic(), options or Options()
    tasks = small_tasks(families, optimizers, steps)
    for name, value in (("seeds", seeds), ("fresh", fresh)):
        arguments.SEEDS(name, value)
    note = options.on_note or (lambda _: None)
    with Workplace(replace(options, on_plan=None, on_note=None)) as place:
        bench = SmallBench(place, arguments.SEED("seed", seed), seeds)
        announce(options, (_planned(task, seeds, fresh) for task in tasks), SIDE_BY_SIDE)
        note(f"tuning linear decay on {len(tasks)} tasks")
        peaks = [bench.peak(task) for task in bench.in_time(tasks)]
        known = [peak for peak in peaks if peak.peak.ok]
        note(f"forking the trainings of {len(known)}")
        forks = tuple(fork for peak in bench.in_time(known) for fork in bench.forks(peak.task, peak.peak.require()))
        ideals, groups = ideals_of(forks), {task.group for task in tasks}
        note(f"fitting {len(FORMS)} forms to the rates of {len(ideals)} states, and driving them on {fresh} fresh seeds")
        fitted = {} if place.late() else {g: _fits([i for i in ideals if i.group != g]) for g in groups}
        driven = bench.in_time(known) if fitted else ()
        losses: Losses = {peak.task.name: bench.fresh(peak.task, _arms(peak, fitted), fresh) for peak in driven}
        return _answer(steps, peaks, forks, ideals, fitted, losses, bench, began)


def _planned(task: Task, seeds: int, fresh: int) -> Plan:
    """What is trained of a task at most: its peak, its forks, every form."""
    criterion, arms = Criterion(), (len(FORMS) + 1) * fresh
    peak = TunedPeak(criterion, linear(task.steps), task.steps, UNKNOWN_LR, seeds).planned()
    forks = Forks(criterion, task.steps, UNKNOWN_LR, 1.0, task.name, task.group, seeds).planned()
    return peak + forks + Plan(arms, arms * task.steps)


def _fits(ideals: Sequence[Ideal]) -> dict[str, ClosedForm]:
    return {form: ClosedForm.fit(ideals, form) for form in FORMS}


def _arms(peak: Peak, fitted: Mapping[str, Mapping[str, ClosedForm]]) -> dict[str, tuple[Policy, float]]:
    task, lr = peak.task, peak.peak.require()
    forms = fitted[task.group]
    return {LINEAR: (linear(task.steps), lr)} | {name: (own.policy().over(task.steps), lr) for name, own in forms.items()}


def _answer(
    steps: int,
    peaks: Sequence[Peak],
    forks: tuple[Fork, ...],
    ideals: tuple[Ideal, ...],
    fitted: Mapping[str, Mapping[str, ClosedForm]],
    losses: Losses,
    bench: SmallBench,
    began: float,
) -> PsiAnswer:
    driven = [peak for peak in peaks if losses.get(peak.task.name)]
    whole = _fits(ideals) if driven else {}
    judged = sorted(
        (_judged(own, driven, ideals, fitted, losses) for own in whole.values()), key=lambda j: j.ratio.value or 0
    )
    best = whole[judged[0].form] if judged else None
    by_task = _ratio(judged[0].form, driven, losses).by_task if judged else {}
    return PsiAnswer(
        problem=f"{len(driven)} small tasks",
        steps=steps,
        forms=tuple(judged),
        closed_form=best,
        shares=_shares(ideals, best),
        tasks=tuple(OfTask(p.task.name, p.task.group, p.peak.require(), by_task[p.task.name]) for p in driven),
        left_out={p.task.name: p.peak.reason for p in peaks if not p.peak.ok},
        forks=forks,
        ideals=ideals,
        made=bench.made(began),
    )


def _ratio(form: str, driven: Sequence[Peak], losses: Losses) -> Ratio:
    return Ratio.of(
        {
            p.task.name: (p.task.family.name, p.task.group, losses[p.task.name][form], losses[p.task.name][LINEAR])
            for p in driven
        }
    )


def _judged(
    own: ClosedForm,
    driven: Sequence[Peak],
    ideals: Sequence[Ideal],
    fitted: Mapping[str, Mapping[str, ClosedForm]],
    losses: Losses,
) -> JudgedForm:
    ratio = _ratio(own.form, driven, losses)
    left_out = [fitted[g][own.form].decades([i for i in ideals if i.group == g]) for g in sorted({i.group for i in ideals})]
    decades = (sum(d * d for d in left_out) / len(left_out)) ** 0.5
    return JudgedForm(own.form, FORMS[own.form].sentence, own.numbers, ratio.mean(), ratio.median, *ratio.record, decades)


def _shares(ideals: Sequence[Ideal], best: ClosedForm | None) -> tuple[AtShare, ...]:
    """Quartiles over states at each share of the steps."""
    found = []
    for s in sorted({ideal.s for ideal in ideals}):
        own = [ideal for ideal in ideals if ideal.s == s]
        low, middle, high = np.exp(np.quantile([ideal.log_factor for ideal in own], [0.25, 0.5, 0.75]))
        form = float(best.predict(s).value or 0.0) if best else 0.0
        found.append(AtShare(s, float(low), float(middle), float(high), form, len(own), sum(i.side != 0 for i in own)))
    return tuple(found)
