"""The best rate of a rung, carried over to the horizon: lr(T) = lr(n) (n / T)^gamma, and what is not known of gamma."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.lane import Outcome
from etastar.designs.best_rate.best_rate import plateau_bar
from etastar.designs.best_rate.climb import FAILED, Climb

GAMMA = 0.35
"""The median over nine tasks of an earlier study, none of which is scored in the bake-off. There 0.5 was as good within 0.05
nats and worse in accuracy, 0.65 worse in both."""
PAD_LOW, PAD_HIGH = 0.20, 0.25
"""Decades by which the interval reaches beyond gamma in [0, 1]: what noise and a coarse lattice do to the vertex."""
NO_VALIDATION_PAD = 0.5
"""Decades more on the low side where lanes are scored on their training loss: it does not see overfitting."""
REACH = 0.5
"""Share of the plateau, from the recommended rate outwards, that the interval covers: short lanes that end alike do not tell
which of its rates is best later. All of it would make quick's interval 1.1 decades wide instead of .85, and hold 142 of 144
instead of 141 in the record."""
STEEP = 0.3
"""Share of the plateau's bar by which the rate below must be worse than the best, where the one above failed, for stability
to be what limits the best rate: it then does not fall with the horizon (gamma = 0)."""
FLAT = 1.5
"""Width of the plateau in decades from which the rate hardly matters."""


def shift(steps: int, horizon: int) -> float:
    """log10(lr(T) / lr(n)).

    >>> shift(10, 1000)
    -0.7
    """
    return GAMMA * math.log10(steps / horizon)


def cliff(climb: Climb, bar: float) -> float | None:
    """log10 of the rate that failed right above the best, where the loss falls up to there; None where it does not."""
    scores, best = climb.scores, climb.best
    above, below = min((x for x in scores if x > best), default=best), max((x for x in scores if x < best), default=best)
    limited = scores[above] >= FAILED and scores[below] > scores[best] + STEEP * bar
    return above if limited else None


@dataclass(frozen=True)
class Carried:
    """A best rate at the horizon; all rates are log10.

    Args:
        vertex: the best of the rung, at its own length.
        value, low, high: at the horizon.
        plateau: its ends at the horizon; None where it is unknown.
        top: the highest rate of the plateau, as far as lanes have run.
        flags: keys of `FLAGS`.
    """

    vertex: float
    value: float
    low: float
    high: float
    plateau: tuple[float, float] | None
    top: float
    flags: tuple[str, ...]


def carried(climb: Climb, outcomes: Sequence[Outcome], steps: int, horizon: int, held_out: bool) -> Carried:
    """What a climb of lanes of `steps` steps says of `horizon`.

    The interval reaches from gamma = 1 to gamma = 0, over pads, and over `REACH` of the plateau.
    """
    vertex, bar = climb.vertex(), plateau_bar(outcomes)
    by = 0.0 if bar is not None and cliff(climb, bar) is not None else shift(steps, horizon)
    low = vertex + math.log10(steps / horizon) - PAD_LOW - (0 if held_out else NO_VALIDATION_PAD)
    high, flags = vertex + PAD_HIGH, []
    if not climb.bracketed:
        flags.append("not-bracketed")
        low, high = (low, high + climb.spacing) if climb.open_side > 0 else (low - climb.spacing, high)
    left, right = (vertex, vertex) if bar is None else climb.plateau(bar)
    left, right, value = min(left, vertex) + by, max(right, vertex) + by, vertex + by
    plateau = (left, right) if bar is not None and climb.bracketed else None
    if plateau and right - left >= FLAT:
        flags.append("flat" if steps >= horizon else "flat-when-short")
    low, high = (pick(end, value + REACH * (edge - value)) for pick, end, edge in ((min, low, left), (max, high, right)))
    return Carried(vertex, value, low, high, plateau, right, tuple(flags))
