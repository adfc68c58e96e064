"""`train_psi`: the network of the ideal rate, trained by evolution on small tasks, judged on groups it has not seen."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from etastar import arguments
from etastar.core.deadline import TimeOver
from etastar.core.estimate import Estimate, Status
from etastar.errors import ProblemError, attributed
from etastar.policies.psi_network import LOOKS, VERSION, PsiNetwork
from etastar.policies.psi_weights import PsiWeights
from etastar.problems.small.family import OPTIMIZERS
from etastar.verbs.answer import Answer
from etastar.verbs.options import Options
from etastar.verbs.psi.evolution import Course, Evolution, Known
from etastar.verbs.psi.judging import RIGHT, TWICE, AtPeak, driven, judged, known_task
from etastar.verbs.psi.measured import SmallBench, small_tasks
from etastar.verbs.workplace import Workplace

FOLDS = 3
"""Parts of the groups; each is driven by a network that was trained without it."""
EVOLUTIONS = 3
"""Of every fold, each stopped by another group; their numbers are averaged: one alone is .02 of final loss off by chance."""
Parts = dict[str, list[Known]]


class EvolutionLook(NamedTuple):
    """What is minimised, at a generation of an evolution, on the group that stops it."""

    fold: str
    stopped_by: str
    generation: int
    held_out: float


@dataclass(frozen=True, kw_only=True)
class PsiNetworkAnswer(Answer):
    """A trained network.

    Args:
        numbers: trained on all groups; () where time was over before.
        folds: groups -> the numbers trained without them.
        judged: on groups that the numbers have not seen.
        looks: of every evolution.
        weights: the file they are in.
    """

    command = "psi-train"
    TOLD: ClassVar = ("steps", "ratio", "harm", "better", "numbers", "folds", "judged", "looks", "weights")

    numbers: tuple[float, ...]
    folds: dict[str, tuple[float, ...]]
    judged: tuple[AtPeak, ...]
    looks: tuple[EvolutionLook, ...] = field(repr=False)
    weights: Path | None

    @property
    def steps(self) -> int:
        """The horizon of the verdict: the one in the middle."""
        horizons = sorted({j.steps for j in self.judged}) or [0]
        return horizons[len(horizons) // 2]

    @property
    def ratio(self) -> Estimate:
        """To linear decay at the same peak, twice the tuned one: what the network is for."""
        return self._of(TWICE, "linear")

    @property
    def harm(self) -> Estimate:
        """To linear decay at its tuned peak, where nothing is to be mended."""
        return self._of(RIGHT, "linear")

    @property
    def better(self) -> bool:
        """Whether the numbers beat the shipped ones at twice the peak, on groups they have not seen, beyond doubt."""
        at_twice = self._of(TWICE, "shipped")
        return at_twice.ok and (at_twice.high or 1.0) < 1

    @property
    def policy(self) -> PsiNetwork:
        """It, as a policy; the shipped one where no numbers were found."""
        return PsiNetwork(self.numbers)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        ratio = self.ratio
        if not ratio.ok:
            return f"no answer ({ratio.status.value}): {ratio.reason}"
        words = ", ".join(
            f"{j.ratio.value:.3f} [{j.ratio.low:.3f}, {j.ratio.high:.3f}] at {j.peak}"
            for j in self.judged
            if (j.arm, j.against, j.steps) == ("network", "linear", self.steps)
        )
        held = "better than the shipped numbers" if self.better else "not better than the shipped numbers"
        return f"{held}; final loss / linear decay's at the same peak over {self.steps} steps, by the peak: {words}"

    def _of(self, peak: str, against: str) -> Estimate:
        wanted = (self.steps, peak, "network", against)
        own = [j.ratio for j in self.judged if (j.steps, j.peak, j.arm, j.against) == wanted]
        reason = "time was over before the network was driven; the same command goes on"
        return own[0] if own else Estimate.none(Status.TOO_FEW_POINTS, reason)


@attributed
def train_psi(
    families: Sequence[str] | None = None,
    *,
    optimizers: Sequence[str] = tuple(OPTIMIZERS),
    horizons: Sequence[int] = (50, 200, 800),
    generations: int = 15,
    fresh: int = 4,
    seed: int = 0,
    weights: str | os.PathLike[str] | None = None,
    on_look: Callable[[EvolutionLook], None] | None = None,
    options: Options | None = None,
) -> PsiNetworkAnswer:
    """Evolve the network on final losses of small tasks: without each part of the groups, to be judged there, and on all.

    Args:
        families: names of `etastar.problems.small.FAMILIES`; None: all.
        optimizers: of `sgd` (with momentum) and `adam`.
        horizons: steps of the trainings that are learnt from and driven, each with peaks of its own.
        generations: of every evolution.
        fresh: seeds on which it is judged.
        seed: of the measurement.
        weights: file for the numbers, and for how far each evolution went: a stopped training goes on from there.
        on_look: called with every look.
        options: store, workers, limits.

    Raises:
        ProblemError: an argument cannot be used, the tasks are of too few groups, or the file holds other things.
        StoreError: the store cannot be used.
        MissingExtra: cmaes is not installed.
    """
    began, options = time.monotonic(), options or Options()
    if not arguments.each_once("horizons", horizons, "numbers of steps, e.g. 200,800"):
        raise ProblemError("horizons is empty; expected numbers of steps, e.g. 200,800")
    for each in horizons:
        if arguments.HORIZON("horizons", each) < LOOKS:
            raise ProblemError(
                f"horizons holds {each}, and the network looks {LOOKS} times at a training; expected {LOOKS} steps or more"
            )
    tasks = {each: small_tasks(families, optimizers, each, groups=FOLDS) for each in horizons}
    arguments.SEEDS("fresh", fresh)
    arguments.GENERATIONS("generations", generations)
    note = options.on_note or (lambda _: None)
    with Workplace(replace(options, on_plan=None, on_note=None)) as place:
        kept = _Kept(weights)
        bench = SmallBench(place, arguments.SEED("seed", seed), 4)
        known: list[Known] = []
        for each, own in tasks.items():
            note(f"over {each:,} steps: tuning linear decay on {len(own)} tasks")
            known += [task for task in map(partial(known_task, bench), bench.in_time(own)) if task is not None]
        looks: list[EvolutionLook] = []

        def told(look: EvolutionLook) -> None:
            looks.append(look)
            if on_look:
                on_look(look)

        parts, folds, numbers, rows = _parts(known), {}, (), ()
        if not place.late():
            evolutions = _Evolutions(bench, generations, kept, told, note)
            try:
                folds = {name: evolutions.on(name, _others(parts, name)) for name in parts}
                numbers = evolutions.on("all", known)
            except TimeOver:
                folds = {}
        if folds:
            kept.finish(numbers)
            note(f"driving {len(known)} tasks on {fresh} fresh seeds")
            rows = judged(driven(bench, parts, folds, fresh))
    return PsiNetworkAnswer(
        problem=f"{len({own.task.name for own in known})} small tasks",
        numbers=numbers,
        folds=folds,
        judged=rows,
        looks=tuple(looks),
        weights=kept.path,
        made=bench.made(began),
    )


class _Kept:
    """The file of weights: the numbers, and how far each evolution went."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self._own = PsiWeights(VERSION)
        if self.path is not None and os.path.exists(self.path):
            self._own = PsiWeights.read(self.path, VERSION)
        self._write()  # a place that takes no file is told now

    def course(self, name: str) -> Course:
        """How far an evolution went."""
        known = self._own.evolutions.get(name)
        return Course.of(known) if known else Course()

    def keep(self, name: str, course: Course) -> None:
        """Write it down."""
        self._own.evolutions[name] = course.kept()
        self._write()

    def finish(self, numbers: tuple[float, ...]) -> None:
        """Write the numbers down."""
        self._own.numbers = numbers
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            self._own.write(self.path)


@dataclass(frozen=True)
class _Evolutions:
    """Several for every fold: their numbers, averaged.

    Args:
        bench: trains the lanes.
        generations: of each.
        kept: where they are written down.
        told: called with their looks.
        note: called with a sentence as each begins.
    """

    bench: SmallBench
    generations: int
    kept: _Kept
    told: Callable[[EvolutionLook], None]
    note: Callable[[str], None]

    def on(self, fold: str, tasks: Sequence[Known]) -> tuple[float, ...]:
        """Of evolutions on all groups of `tasks` but one, which stops it: each another, the small first."""
        sizes = Counter(own.task.group for own in tasks)
        stops = sorted(sizes, key=lambda group: (sizes[group], group))[:EVOLUTIONS]
        found = [self._evolved(fold, stop, tasks) for stop in stops]
        return tuple(round(float(v), 4) for v in np.mean(found, axis=0))

    def _evolved(self, fold: str, stop: str, tasks: Sequence[Known]) -> tuple[float, ...]:
        learn, held = [o for o in tasks if o.task.group != stop], [o for o in tasks if o.task.group == stop]
        name = f"{fold}/{stop}/{len(learn)}/{self.generations}/{self.bench.seed}"
        course = self.kept.course(name)
        self.note(f"{fold}: {self.generations} generations on {len(learn)} tasks, stopped by {stop}")
        keep = partial(self.kept.keep, name, course)
        try:
            found = Evolution(self.bench, learn or held, held, self.generations, name, course, keep).run()
        finally:
            keep()
        for look in course.looks:
            self.told(EvolutionLook(fold, stop, *look))
        return found


def _parts(known: Sequence[Known]) -> Parts:
    """The groups in `FOLDS` parts of about equal size: each group, the largest first, to the smallest part."""
    groups: Parts = {}
    for own in known:
        groups.setdefault(own.task.group, []).append(own)
    parts: list[tuple[list[str], list[Known]]] = [([], []) for _ in range(FOLDS)]
    for name, tasks in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        names, own = min(parts, key=lambda part: len(part[1]))
        names.append(name)
        own += tasks
    return {"+".join(names): own for names, own in parts if own}


def _others(parts: Parts, name: str) -> list[Known]:
    """The tasks of the other parts."""
    return [own for part, tasks in parts.items() if part != name for own in tasks]
