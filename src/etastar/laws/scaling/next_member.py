"""Which member to measure next: the one that narrows the interval at the target most, within a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from etastar.laws.scaling.conditions import Sizes
from etastar.laws.scaling.scaling_law import ScalingLaw


@dataclass(frozen=True)
class Suggestion:
    """A member worth measuring.

    Args:
        sizes: of it.
        cost: what measuring it takes, in the unit of the budget.
        factor: high / low of the target's interval once it is measured, if it agrees with the laws; None where the law
            speaks only then and its scatter is not known yet.
    """

    sizes: Sizes
    cost: float
    factor: float | None


def suggestions(
    law: ScalingLaw, target: Sizes, cost: Callable[[Sizes], float], budget: float, *, most: int = 3
) -> list[Suggestion]:
    """The best members to measure next, best first; none where nothing within `budget` helps.

    Candidates take each size from what was measured, from the target, and from between; they must meet the law's own
    conditions, be smaller than the target, and bring it within reach.

    >>> sizes = [{"depth": L, "width": n} for L in (4, 8) for n in (128, 256)]
    >>> law = ScalingLaw.fit(sizes, [0.52, 0.36, 0.29, 0.22])
    >>> [s.sizes for s in suggestions(law, {"depth": 8, "width": 512}, lambda m: m["depth"] * m["width"] ** 2, 1e6, most=1)]
    [{'depth': 6, 'width': 362}]
    """
    if len(law.members) == 0:
        return []
    found = []
    for member in _between(law.members, target):
        price = cost(member)
        if (
            price > budget
            or member in law.members
            or member == target
            or math.prod(member.values()) >= math.prod(target.values())
        ):
            continue
        if law.why_not(member) is not None or law.why_not(target, [member]) is not None:
            continue
        low, high = law.interval(target, [member])
        known = math.isfinite(high) and low > 0
        found.append(Suggestion(member, price, high / low if known else None))
    return sorted(found, key=lambda s: (s.factor or math.inf, s.cost))[:most]


def _between(members: Sequence[Sizes], target: Sizes) -> list[Sizes]:
    """Members whose sizes are those measured, the target's, and the geometric means of neighbours among them."""
    choices = []
    for name in members[0]:
        known = sorted({m[name] for m in members} | {target[name]})
        middles = [math.sqrt(a * b) for a, b in pairwise(known)]
        whole = all(float(x).is_integer() for x in known)
        choices.append(sorted({*known, *(round(x) if whole else x for x in middles)}))
    return [dict(zip(members[0], values, strict=True)) for values in product(*choices)]
