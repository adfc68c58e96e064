"""A climb: lanes of one length at rates a fixed spacing apart, moved until the best rate lies between two worse ones."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

MOVED = -0.02
"""A score above this says that a lane has learned nothing."""
PROGRESS = -0.1
"""A score above this is no progress: no rate is recommended for it, and the best is looked for in decades."""
CAP = 1.0
"""Neighbours of the best are counted as at most this much worse: a diverged lane says where not to go, not how far."""
FAILED = 0.4
"""The score of a lane that diverged, and the worst there is."""


@dataclass
class Climb:
    """Scores at log10 rates on a lattice around `centre`; lower is better.

    The first three rates come at once. Then, while nothing has been learned, a decade up if no lane got worse, a decade down
    if all did, else between those that did and those that stood still; once something was, the missing neighbour of the
    best, until the best has two.

    Args:
        centre: log10 of the first rate.
        spacing: decades between neighbours.
        lanes: at most this many.
    """

    centre: float
    spacing: float
    lanes: int
    _scores: dict[int, float] = field(default_factory=dict, init=False)

    def ask(self) -> list[float]:
        """The next log10 rates; empty when the best is bracketed or the lanes are spent."""
        if not self._scores:
            return [self._x(k) for k in (0, 1, -1)][: self.lanes]
        if len(self._scores) >= self.lanes:
            return []
        return [self._x(k) for k in self._next()[:1]]

    def tell(self, x: float, score: float) -> None:
        """The score at log10 rate `x`."""
        self._scores[round((x - self.centre) / self.spacing)] = min(score, FAILED)

    @property
    def scores(self) -> dict[float, float]:
        """log10 rate -> score, in order of the rate."""
        return {self._x(k): self._scores[k] for k in sorted(self._scores)}

    @property
    def best(self) -> float:
        """The log10 rate with the lowest score."""
        return self._x(self._best)

    @property
    def learned(self) -> bool:
        """Whether any lane got anywhere."""
        return bool(self._scores) and self._scores[self._best] <= MOVED

    @property
    def progressed(self) -> bool:
        """Whether the best lane got anywhere that is worth a recommendation."""
        return bool(self._scores) and self._scores[self._best] <= PROGRESS

    @property
    def end(self) -> float:
        """log10 of the rate at which longer lanes go on: the best; where nothing was learned, what would come next."""
        if self.progressed or (self.learned and self.open_side <= 0):
            return self.vertex()
        return self._x(next(iter(self._next()), self._best))

    @property
    def open_side(self) -> int:
        """-1 or 1 if the best is the lowest or the highest rate that was run; 0 if it has both neighbours."""
        if self._best - 1 not in self._scores:
            return -1
        return 0 if self._best + 1 in self._scores else 1

    @property
    def bracketed(self) -> bool:
        """Whether both neighbours of the best were run."""
        return bool(self._scores) and self.open_side == 0

    def vertex(self) -> float:
        """log10 of the best rate: the vertex of the parabola through the best and its neighbours, within half a spacing.

        The best itself where it has only one neighbour.

        >>> climb = Climb(-1.0, 0.5, 3)
        >>> for x, score in ((-1.5, -1.0), (-1.0, -2.0), (-0.5, -1.5)):
        ...     climb.tell(x, score)
        >>> round(climb.vertex(), 3)
        -0.917
        """
        if not self.bracketed:
            return self.best
        at, half = self._scores[self._best], self.spacing / 2
        below, above = (min(self._scores[self._best + side], at + CAP) - at for side in (-1, 1))
        return self.best + (half * (below - above) / (below + above) if below + above > 0 else 0.0)

    def plateau(self, bar: float) -> tuple[float, float]:
        """log10 of the rates whose score lies within `bar` of the best, on straight lines between the lanes.

        >>> climb = Climb(-1.0, 0.5, 3)
        >>> for x, score in ((-1.5, -1.0), (-1.0, -2.0), (-0.5, -1.5)):
        ...     climb.tell(x, score)
        >>> climb.plateau(0.5)
        (-1.25, -0.5)
        """
        xs = list(self.scores)
        at = xs.index(self.best)
        low, high = (self._reach(side, bar) for side in (xs[at::-1], xs[at:]))
        return low, high

    def _reach(self, side: list[float], bar: float) -> float:
        """How far along `side`, from the best outwards, the score stays within `bar`."""
        scores = self.scores
        rise = lambda x: scores[x] - scores[side[0]]
        for a, b in itertools.pairwise(side):
            if rise(b) > bar:
                return a + (b - a) * (bar - rise(a)) / (rise(b) - rise(a))
        return side[-1]

    def _next(self) -> list[int]:
        """Where to look further on the lattice; nowhere once the best has two neighbours."""
        decade = math.ceil(1 / self.spacing - 1e-9)
        if not self.learned:
            return self._elsewhere(decade)
        if self.open_side > 0 and not self.progressed and self._best + decade not in self._scores:
            return [self._best + decade]
        return [k for k in (self._best - 1, self._best + 1) if k not in self._scores]

    def _elsewhere(self, decade: int) -> list[int]:
        """Where to look while no lane has learned anything; nowhere if rates side by side stand still and get worse."""
        worse = [k for k, score in self._scores.items() if score > -MOVED]
        still = [k for k in self._scores if k not in worse]
        if not worse:
            return [max(still) + decade]
        if not still or max(still) > min(worse):
            return [min(self._scores) - decade]
        return [(max(still) + min(worse)) // 2] if min(worse) - max(still) > 1 else []

    @property
    def _best(self) -> int:
        return min(self._scores, key=lambda k: (self._scores[k], k))

    def _x(self, k: int) -> float:
        return self.centre + k * self.spacing
