"""The last look: one lane nearly as long as the horizon, for what lanes of half the length cannot show.

Two things make half a training mislead. Memorising may begin after it: then twice the steps want less than half the rate.
And a second basin may be reached by high rates alone, late: then all rates of half the length end alike, on a plateau. A
lane at the plateau's top shows either: it ends no lower than the best half did, or falls faster than training did so far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from etastar.designs.best_rate.carried import PAD_HIGH, PAD_LOW, Carried, cliff
from etastar.designs.best_rate.climb import FAILED, Climb

SHARE = 0.75
"""Of the horizon at least, else it shows nothing new."""
LONGEST_STRIDE = 4
"""The lanes before it have at least 1 / this of the horizon: it is read against them."""
NOISE = 0.1
"""By how much a score must be worse to count as worse: one seed late in training moves by so much (deep networks, .08)."""
FASTER = 1.5
"""Times the fall per doubling so far, beyond which a lane's fall says that it has found another basin."""
BACK = 0.3
"""Share of the way back from that lane's rate to the one before: the look has one seed.

They and `STEEP` were chosen among settings by replay, each task left out in turn: 2026-11-26_basins."""


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
        scores, x = climb.scores, max(found.top, found.value)
        least = scores[climb.best]
        if (edge := cliff(climb, bar)) is not None:
            x = max(x, (climb.best + edge) / 2)
        trained = {rate: score for rate, score in scores.items() if score < FAILED}
        level = max(float(np.interp(x, list(trained), list(trained.values()))), least)
        fall = (before[0] - least) / math.log2(steps / before[1])
        return cls(x, steps, fall, level, least)

    def read(self, found: Carried, score: float, steps: int, ratio: float) -> Carried:
        """`found`, given the lane's score after `steps`.

        Where longer is no better only rate x steps matters: gamma = 1. Where it is worse at one rate, gamma may be 2. A lane
        that failed says nothing but that its rate was too high.

        Args:
            ratio: log10 of the climb's steps over the horizon.
        """
        if score >= FAILED:
            return found
        if score > self.level + NOISE:
            low = min(found.low, found.vertex + 2 * ratio - PAD_LOW)
            found = replace(found, low=low, flags=(*found.flags, "late-overfitting"))
        if score > self.best + NOISE:
            return replace(found, value=found.vertex + ratio)
        fall = (self.level - score) / math.log2(steps / self.steps)
        if fall > FASTER * self.fall and self.x > found.value:
            value, high = self.x - BACK * (self.x - found.value), max(found.high, self.x + PAD_HIGH)
            return replace(found, value=value, high=high, flags=(*found.flags, "two-basins"))
        return found
