"""The upper edge of the band as the lanes around it tell it: where it lies, how steep it is, how well that is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from etastar.core.estimate import Estimate
from etastar.core.lane import Outcome
from etastar.designs.eta_star.psychometric import Flank
from etastar.designs.eta_star.success_band import CurvePoint

WIDE = 0.25
"""10-90 % width in decades beyond which the answer is flagged: real networks have 0.14-0.23 as a rule, 0.44 at most."""


class EdgePosterior:
    """The posterior of an edge between `low` and `high`, log10 rates; lanes below `low` belong to the lower flank.

    Args:
        level: probability of its intervals.
    """

    def __init__(self, low: float, high: float, level: float) -> None:
        self.low, self.high, self._level = low, high, level
        self._flank = Flank(low, high)
        self._told: list[Outcome] = []
        tail = (1 - level) / 2
        self._levels = [tail, 0.5, 1 - tail]

    def tell(self, outcomes: Iterable[Outcome]) -> None:
        """More lanes, also such as say nothing of it."""
        for outcome in outcomes:
            self._told.append(outcome)
            if self._near(outcome):
                self._flank.update(outcome.lane.log_lr, outcome.trained)

    def placements(self, n: int) -> Sequence[float]:
        """The log10 rates at which `n` further lanes say most."""
        return self._flank.placements(n)

    def interval(self) -> tuple[float, float, float]:
        """Interval and median of the edge; at least the bracket where successes and failures do not overlap."""
        low, middle, high = (float(q) for q in self._flank.mu_quantiles(self._levels))
        used = [o for o in self._told if self._near(o)]
        trained = [o.lane.log_lr for o in used if o.trained]
        failed = [o.lane.log_lr for o in used if not o.trained]
        if trained and failed and max(trained) < min(failed):
            low, high = min(low, max(trained)), max(high, min(failed))
        return low, min(max(middle, low), high), high

    def known_within(self, half_width: float) -> bool:
        """Whether the interval of the rate is as narrow, relative to it."""
        low, middle, high = (10.0**x for x in self.interval())
        return (high - low) / 2 <= half_width * middle

    def estimates(self, flags: tuple[str, ...], **common: Any) -> tuple[Estimate, Estimate, Estimate]:
        """eta*, which carries the `flags`, the 90 % point and the width."""
        low, middle, high = (10.0**x for x in self.interval())
        low_90, middle_90, high_90 = (10.0 ** float(x) for x in self._flank.point_quantiles(0.9, self._levels))
        low_w, middle_w, high_w = (float(w) for w in self._flank.width_quantiles(self._levels))
        common |= {"level": self._level, "method": "adaptive psychometric, fresh seeds"}
        return (
            Estimate(middle, low, high, flags=flags, **common),
            Estimate(middle_90, min(low_90, middle_90), max(high_90, middle_90), **common),
            Estimate(middle_w, low_w, high_w, unit="decades", **common),
        )

    def flags(self) -> list[str]:
        """What speaks against one steep edge, keys of `etastar.FLAGS`."""
        flags = []
        if float(self._flank.width_quantiles([0.5])[0]) > WIDE:
            flags.append("wide-transition")
        above = [o for o in self._told if o.lane.log_lr >= self.low - 1e-9]
        edge = [(self._flank.edge_probability(o.lane.log_lr), o.trained) for o in above]
        if any((p < 0.02 and trained) or (p > 0.98 and not trained) for p, trained in edge):
            flags.append("islands")
        return flags

    def curve(self, bottom: float) -> tuple[CurvePoint, ...]:
        """The fitted curve, from the rate `bottom` to where the posterior ends."""
        xs = np.linspace(min(math.log10(bottom), self.low), self.high, 321)
        mean, low, high = self._flank.curve(xs, self._level)
        return tuple(
            CurvePoint(10.0 ** float(x), float(p), float(a), float(b))
            for x, p, a, b in zip(xs, mean, low, high, strict=True)
        )

    def _near(self, outcome: Outcome) -> bool:
        return self.low - 1e-9 <= outcome.lane.log_lr <= self.high + 0.5
