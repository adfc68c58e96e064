"""The last look: one lane nearly as long as the horizon, for what lanes of half the length cannot show.

Two things make half a training mislead. Memorising may begin after it: then twice the steps want less than half the rate.
And a second basin may be reached by high rates alone, late: then all rates of half the length end alike, on a plateau. A
lane at the plateau's top shows either: it ends no lower than the best half did, or falls faster than training did so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from etastar.designs.best_rate.carried import PAD_HIGH, PAD_LOW, Carried
from etastar.designs.best_rate.climb import FAILED, Climb

SHARE = 0.75
"""Of the horizon at least, else it shows nothing new."""
LONGEST_STRIDE = 4
"""The lanes before it have at least 1 / this of the horizon: it is read against them."""
STEEP = 0.3
"""Share of the plateau's bar by which the rate below must be worse than the best, where the one above failed, for the best
rate to be the highest that holds: then the look is half way up to the one that failed."""
FASTER = 1.5
"""Times the fall per doubling so far, beyond which a lane's fall says that it has found another basin."""
BACK = 0.3
"""Share of the way back from that lane's rate to the one before: the look has one seed.

`STEEP`, `FASTER` and `BACK` were chosen among 27 by replay on twelve tasks (2026-11-26_basins); without any one task
the same are chosen, but for one without which `BACK` is 0. Every setting is better than no look."""


@dataclass(frozen=True)
class LastLook:
    """Where to look, and against what the lane is read.

    Args:
        x: log10 of the rate: the plateau's top, as `Carried` has it.
        steps: of the lanes before.
        fall: of the score, per doubling of the steps, up to there.
        level: score of those lanes at that rate, on a line between them.
        best: the lowest score of them.
    """

    x: float
    steps: int
    fall: float
    level: float
    best: float

    @classmethod
    def over(cls, climb: Climb, found: Carried, bar: float, steps: int, before: tuple[float, int]) -> LastLook:
        """The look after a climb of lanes of `steps` steps, `before` which others of (score, steps) had run."""
        scores = climb.scores
        least = scores[climb.best]
        above, below = ([x for x in scores if (x - climb.best) * side > 0] for side in (1, -1))
        cliff = bool(above) and scores[above[0]] >= FAILED
        x = max(found.top, found.value)
        if cliff and below and scores[below[-1]] > least + STEEP * bar:
            x = max(x, (climb.best + above[0]) / 2)
        level = least if cliff else max(float(np.interp(x, list(scores), list(scores.values()))), least)
        fall = (before[0] - least) / math.log2(steps / before[1])
        return cls(x, steps, fall, level, least)

    def read(self, found: Carried, score: float, steps: int, ratio: float) -> Carried:
        """`found`, given the lane's score after `steps`.

        Where longer is no better only rate x steps matters: gamma = 1. Where it is worse at one rate, gamma may be 2. A lane
        that failed says that its rate was too high.

        Args:
            ratio: log10 of the climb's steps over the horizon.
        """
        if score >= FAILED:
            return found
        if score > self.level:
            low = min(found.low, found.vertex + 2 * ratio - PAD_LOW)
            found = replace(found, low=low, flags=(*found.flags, "late-overfitting"))
        if score > self.best:
            return replace(found, value=found.vertex + ratio)
        fall = (self.level - score) / math.log2(steps / self.steps)
        if fall > FASTER * self.fall and self.x > found.value:
            value, high = self.x - BACK * (self.x - found.value), max(found.high, self.x + PAD_HIGH)
            return replace(found, value=value, high=high, flags=(*found.flags, "two-basins"))
        return found
