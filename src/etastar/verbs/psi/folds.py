"""What is evolved: the network without each part of the groups and on all of them, and the file that tells how far it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from etastar.core.design import Plan
from etastar.policies.psi_network import VERSION
from etastar.policies.psi_weights import PsiWeights
from etastar.verbs.psi.evolution import Course, Evolution, Known
from etastar.verbs.psi.measured import SmallBench

FOLDS = 3
"""Parts of the groups; each is driven by a network that was trained without it."""
EVOLUTIONS = 3
"""Of every fold, each stopped by another group; their numbers are averaged: one alone is .02 of final loss off by chance."""
ALL = "all"
"""Name of the evolutions that leave no part out."""
Parts = dict[str, list[Known]]


def learnt_on(fold: str) -> str:
    """Where the evolutions of a fold learn."""
    return "on all groups" if fold == ALL else f"without {fold}"


class EvolutionLook(NamedTuple):
    """What is minimised, at a generation of an evolution, on the group that stops it."""

    fold: str
    stopped_by: str
    generation: int
    held_out: float

    @property
    def learnt(self) -> str:
        """Where the evolution learns."""
        return learnt_on(self.fold)


class KeptEvolutions:
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
class Evolutions:
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
    kept: KeptEvolutions
    told: Callable[[EvolutionLook], None]
    note: Callable[[str], None]

    def on(self, fold: str, tasks: Sequence[Known]) -> tuple[float, ...]:
        """Of evolutions on all groups of `tasks` but one, which stops it: each another, the small first."""
        found = [self._evolved(fold, stop, evolution) for stop, evolution in self.of(fold, tasks).items()]
        return tuple(round(float(v), 4) for v in np.mean(found, axis=0))

    def planned(self, known: Sequence[Known]) -> Plan:
        """About what they all train."""
        parts = parts_of(known)
        folds = {name: others_than(parts, name) for name in parts} | {ALL: known}
        return sum((own.planned() for name, some in folds.items() for own in self.of(name, some).values()), Plan(0, 0))

    def of(self, fold: str, tasks: Sequence[Known]) -> dict[str, Evolution]:
        """By the group that stops them."""
        sizes = Counter(own.task.group for own in tasks)
        return {
            stop: self._without(fold, stop, tasks)
            for stop in sorted(sizes, key=lambda group: (sizes[group], group))[:EVOLUTIONS]
        }

    def _without(self, fold: str, stop: str, tasks: Sequence[Known]) -> Evolution:
        learn, held = [o for o in tasks if o.task.group != stop], [o for o in tasks if o.task.group == stop]
        name = f"{fold}/{stop}/{len(learn)}/{self.generations}/{self.bench.seed}"
        course = self.kept.course(name)
        keep = partial(self.kept.keep, name, course)
        return Evolution(self.bench, learn or held, held, self.generations, name, course, keep)

    def _evolved(self, fold: str, stop: str, evolution: Evolution) -> tuple[float, ...]:
        self.note(f"{learnt_on(fold)}: {self.generations} generations on {len(evolution.tasks)} tasks, stopped by {stop}")
        try:
            found = evolution.run()
        finally:
            evolution.on_course()
        for look in evolution.course.looks:
            self.told(EvolutionLook(fold, stop, *look))
        return found


def parts_of(known: Sequence[Known]) -> Parts:
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


def others_than(parts: Parts, name: str) -> list[Known]:
    """The tasks of the other parts."""
    return [own for part, tasks in parts.items() if part != name for own in tasks]
