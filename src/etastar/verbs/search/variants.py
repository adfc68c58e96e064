"""Variants: lanes whose settings change the problem itself (batch size, width ...), trained beside the others.

A lane's settings are the optimizer's where it has one of that name; such lanes train together. All others make another
problem, which gets its own preflight, its own place in the store and its own engine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from etastar.core.design import Design, Engine
from etastar.core.lane import Lane, Outcome, Runs
from etastar.core.problem import Problem
from etastar.designs.search.search_space import Parameter, Space
from etastar.errors import ProblemError
from etastar.policies.named import policy_over
from etastar.verbs.search.batch_sizes import per_sample
from etastar.verbs.workplace import Answer, Session

Make = Callable[..., Problem]
"""(**arguments) -> the problem with these arguments of its function."""
OF_THE_LANE = ("lr", "schedule")
FIXED = ("steps", "seed", "optimizer")
"""Arguments of a problem's function that a search keeps: trials are compared at the same steps and seeds."""


@dataclass(frozen=True)
class Roles:
    """What each hyper-parameter of a space changes.

    Args:
        optimizer: names of optimizer settings.
        problem: names of what makes another problem.
        batch_sizes: of the problems at the ends of their ranges, where they are known.
    """

    optimizer: tuple[str, ...]
    problem: tuple[str, ...]
    batch_sizes: frozenset[int] = frozenset()


def roles(space: Space, defaults: Mapping[str, Any], problem: Problem, make: Make | None) -> Roles:
    """Who changes what; everything is tried out that can be without training.

    Args:
        defaults: settings of the optimizer.
        make: builds the problem anew; None where there is no function.

    Raises:
        ProblemError: a name that nothing has, or a value that the problem refuses.
    """
    takes = list(inspect.signature(make).parameters) if make else []
    settings = [name for name, value in defaults.items() if isinstance(value, (bool, int, float)) and name != "maximize"]
    own, others = [], []
    for p in space:
        if p.name in OF_THE_LANE:
            continue
        if problem.is_loop:
            raise ProblemError(
                f"the space has [{p.name}], but a training loop of your own takes the rate alone; expected [lr]"
            )
        if p.name in settings:
            own.append(p.name)
        elif p.name == "batch_size" or (make is not None and p.name in takes and p.name not in FIXED):
            others.append(p.name)
        else:
            arguments = [name for name in takes if name not in (*FIXED, "batch_size")] if make else []
            known = ", ".join(["lr", "schedule", "batch_size", *settings, *arguments])
            raise ProblemError(f"the space has [{p.name}], which nothing has here; expected some of {known}")
    _try_schedules(space, problem)
    corners = product(*(space[name].ends() for name in others))
    variants = [variant_of(problem, make, dict(zip(others, values, strict=True))) for values in corners]
    sizes = {v.parts.batches.batch_size for v in variants if not v.is_loop}
    return Roles(tuple(own), tuple(others), frozenset(size for size in sizes if size is not None))


def real(space: Space, defaults: Mapping[str, Any]) -> Space:
    """The space with whole-number ranges of real settings (momentum from 0 to 1) as real ones."""
    whole = [p for p in space if p.integer and isinstance(defaults.get(p.name), float | int)]
    for p in whole:
        assert p.low is not None and p.high is not None
        space = space.but(Parameter(p.name, float(p.low), float(p.high), p.log))
    return space


def variant_of(problem: Problem, make: Make | None, changes: Mapping[str, Any]) -> Problem:
    """The problem with `changes`: its batch size replaced, all else given to `make`."""
    others = {name: value for name, value in changes.items() if name != "batch_size"}
    variant = make(**others) if others and make else problem
    return variant.but(batch_size=changes["batch_size"]) if "batch_size" in changes else variant


def _try_schedules(space: Space, problem: Problem) -> None:
    if "schedule" not in space:
        return
    if problem.is_loop:
        raise ProblemError("the space has [schedule], but a training loop of your own sets its own; expected [lr]")
    choices = space["schedule"].choices
    if choices is None or not all(isinstance(c, str) for c in choices):
        raise ProblemError('[schedule] of the space is no list of names; expected e.g. choices = ["constant", "wsd"]')
    for choice in choices:
        policy_over(choice, problem.steps)


class Variants:
    """A `Store` in front of a session: sends every lane to the problem its settings make.

    Args:
        names: of the settings that make another problem.
        make: see `roles`.
        summed: whether losses come back per sample, so that the sums over batches of different sizes compare.
    """

    def __init__(self, session: Session, names: Sequence[str], make: Make | None, *, summed: bool = False) -> None:
        self._session, self._names, self._make, self._summed = session, tuple(names), make, summed
        self._known: dict[tuple[Any, ...], Session] = {}

    def run(self, design: Design[Answer], share: float = 1.0) -> Answer:
        """Run one design within what is left of the time limit, or of a `share` of it."""
        return self._session.run(design, store=self, share=share)

    def get_or_train(self, engine: Engine, problem: Problem, lanes: Sequence[Lane]) -> Runs:
        """Outcomes in the order of `lanes`; those of one problem are trained together."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, lane in enumerate(lanes):
            values = tuple((k, v) for k, v in lane.settings if k in self._names)
            groups.setdefault(values, []).append(index)
        found: dict[int, Outcome] = {}
        for values, indices in groups.items():
            if values:
                outcomes = self._of_variant(self._variant(values), [lanes[i] for i in indices])
            else:
                outcomes = self._session.get_or_train(engine, problem, [lanes[i] for i in indices])
            found |= dict(zip(indices, outcomes, strict=True))
        return Runs(found[index] for index in range(len(lanes)))

    def _of_variant(self, variant: Session, lanes: Sequence[Lane]) -> list[Outcome]:
        """The variant's own criterion decides what has diverged: an uninformed guess costs something else there."""
        criterion, size = variant.facts.criterion, variant.problem.parts.batches.batch_size or 1
        others = [tuple(s for s in lane.settings if s[0] not in self._names) for lane in lanes]
        own = [replace(lane, settings=rest, criterion=criterion) for lane, rest in zip(lanes, others, strict=True)]
        outcomes = variant.get_or_train(variant.engine, variant.problem, own)
        compared = [per_sample(o, size) for o in outcomes] if self._summed else outcomes
        return [replace(o, lane=lane) for o, lane in zip(compared, lanes, strict=True)]

    def _variant(self, values: tuple[Any, ...]) -> Session:
        if values not in self._known:
            problem = variant_of(self._session.problem, self._make, dict(values))
            self._known[values] = self._session.beside(problem)
        return self._known[values]
