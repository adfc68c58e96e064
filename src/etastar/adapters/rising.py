"""When a look at the curvature is worth its price: at a cadence, and where what costs nothing has risen."""

from __future__ import annotations

import math

from etastar.arguments import EVERY

RISE = 1.5
"""Of the rate or of the gradient's norm since the last look. The trend of norms of batches of 32 scatters by a fifth."""
APART = 5
"""Steps between two looks at least: a rise that goes on is looked at again, but not at every step."""
FOLLOWS = 0.7
"""Weight of what was before in the norm's trend: it looks back about three steps, and divergence takes ten."""


class Rising:
    """Says at which steps to look.

    Args:
        every: optimizer steps from look to look where nothing rises.

    >>> rising = Rising(every=100)
    >>> [step for step in range(20) if rising.due(step, rate=0.1, norm=1.0 if step < 10 else 3.0)]
    [0, 10, 15]
    """

    def __init__(self, every: int) -> None:
        self._every = EVERY("every", every)
        self._last, self._rate, self._level, self.trend = -math.inf, 0.0, 0.0, math.nan

    def due(self, step: int, rate: float, norm: float) -> bool:
        """Whether to look now; if so, rises are counted from here."""
        if math.isfinite(norm):
            self.trend = norm if math.isnan(self.trend) else FOLLOWS * self.trend + (1 - FOLLOWS) * norm
        rises = step >= self._last + APART and (rate > RISE * self._rate or self.trend > RISE * self._level)
        if step < self._last + self._every and not rises:
            return False
        self._last, self._rate, self._level = step, rate, self.trend
        return True
