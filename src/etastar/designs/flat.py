"""Whether the rate changes anything at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from etastar.core.lane import Outcome

SAME = 1e-9
"""Of the largest loss of a seed: what rounding leaves of a difference."""


def is_flat(outcomes: Iterable[Outcome], loss: Callable[[Outcome], float]) -> bool:
    """Whether the loss of every seed is finite and the same at every rate: it does not depend on what is trained."""
    by_seed: dict[int, list[float]] = {}
    for outcome in outcomes:
        by_seed.setdefault(outcome.lane.seed, []).append(loss(outcome))
    return all(
        all(map(math.isfinite, losses)) and max(losses) - min(losses) <= SAME * max(map(abs, losses))
        for losses in by_seed.values()
    )
