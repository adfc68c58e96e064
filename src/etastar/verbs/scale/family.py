"""A family of problems: the members asked for, checked, and what each would cost."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from etastar import arguments
from etastar.core.problem import Problem
from etastar.engine.preflight import Preflight
from etastar.errors import ProblemError
from etastar.laws.scaling.power_law import FEWEST
from etastar.verbs.workplace import Workplace

Make = Callable[..., Problem]
"""(**sizes) -> the member of that size."""
Numbers = dict[str, float]


@dataclass(frozen=True)
class FamilyMember:
    """One size of the family, built and checked."""

    sizes: Numbers
    problem: Problem
    facts: Preflight

    @property
    def name(self) -> str:
        """Its sizes in words."""
        return size_text(self.sizes)


def size_text(sizes: Mapping[str, float]) -> str:
    """Sizes in words.

    >>> size_text({"depth": 8, "width": 512})
    'depth 8, width 512'
    """
    return ", ".join(f"{name} {value:g}" for name, value in sizes.items())


def checked_sizes(axes: Mapping[str, Sequence[Any]], to: Mapping[str, Any]) -> tuple[list[Numbers], Numbers]:
    """(every member's sizes, the target's), all numbers > 0.

    Raises:
        ProblemError: fewer than three sizes, a size that is no number, or a target with other names.
    """
    if not isinstance(axes, Mapping):
        raise ProblemError(f"axes is {arguments.shown(axes)}; expected name -> sizes, e.g. {{'depth': [4, 8]}}")
    if not isinstance(to, Mapping):
        raise ProblemError(f"to is {arguments.shown(to)}; expected name -> size, e.g. {{'depth': 16}}")
    axes = {name: arguments.each_once(name, values, "a list of sizes, e.g. 4, 8") for name, values in axes.items()}
    for name, value in [(n, v) for n, values in axes.items() for v in values] + list(to.items()):
        arguments.SIZE(name, value)
    if missing := [name for name in axes if name not in to]:
        raise ProblemError(f"the target has no {', '.join(missing)}; expected {', '.join(axes)}: add it to --to")
    if extra := [name for name in to if name not in axes]:
        raise ProblemError(f"the target has {', '.join(extra)}, which no member has; give its sizes too, or use --set")
    members = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())] if axes else []
    if len(members) < FEWEST:
        known = "; ".join(map(size_text, members)) or "none"
        raise ProblemError(
            f"got {len(members)} sizes ({known}); expected at least {FEWEST}, e.g. --depth 4,8 --width 128,256"
        )
    return members, {name: to[name] for name in axes}


def check_arguments(make: Make, names: Sequence[str]) -> None:
    """The family takes what is scaled.

    Raises:
        ProblemError: it does not.
    """
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    if unknown := [name for name in names if name not in parameters]:
        takes = ", ".join(parameters) or "no arguments"
        raise ProblemError(f"the family does not take {', '.join(unknown)}; it takes {takes}: scale one of these")


def build(make: Make, sizes: Sequence[Numbers], place: Workplace) -> list[FamilyMember]:
    """Every member, the cheapest first.

    Raises:
        ProblemError: a member cannot be used; or two of different size are the same problem.
    """
    members = []
    for some in sizes:
        problem = make(**some)
        if not isinstance(problem, Problem):
            got = "None" if problem is None else f"a {type(problem).__name__}"
            size = ", ".join(f"{name}={value}" for name, value in some.items())
            raise ProblemError(f"the family returned {got} at {size}; expected an etastar.Problem: return one")
        members.append(FamilyMember(some, problem, place.facts(problem)))
    _check_different(members)
    return sorted(members, key=lambda m: (m.facts.parameters * m.problem.steps, m.name))


def _check_different(members: Sequence[FamilyMember]) -> None:
    """Sizes that change nothing are no sizes."""
    for a, b in combinations(members, 2):
        changed = [name for name in a.sizes if a.sizes[name] != b.sizes[name]]
        if len(changed) == 1 and _identity(a) == _identity(b):
            raise ProblemError(
                f"the family ignores {changed[0]}: {a.name} and {b.name} are the same problem; use the argument in the "
                "function, or do not scale it"
            )


def _identity(member: FamilyMember) -> tuple[Any, ...]:
    facts, problem = member.facts, member.problem
    samples = None if problem.is_loop else problem.parts.batches.size
    return facts.shapes, facts.trace, problem.batch_size, problem.steps, samples


def work(sizes: Mapping[str, float]) -> float:
    """What a step of a member takes, up to a constant: depth x width^2 x batch x steps, of those that are scaled."""
    powers = {"depth": 1, "width": 2, "batch_size": 1, "steps": 1}
    return math.prod(float(sizes[name]) ** power for name, power in powers.items() if name in sizes)
