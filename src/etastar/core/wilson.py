"""Wilson's score interval for a share of counts."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(successes: int, n: int, level: float = 0.9) -> tuple[float, float]:
    """Interval of a probability seen as `successes` out of `n`.

        (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n),  p = successes/n,  z = Phi^-1((1 + level)/2)

    Unlike p -+ z se it stays inside [0, 1] and is not empty at 0 or n successes.

    Source: E. B. Wilson, JASA 22 (1927) 209.

    Args:
        successes: 0 .. n.
        n: number of trials, at least 1.
        level: probability of the interval.

    Raises:
        ValueError: counts that cannot be.

    >>> [round(x, 4) for x in wilson_interval(5, 10, level=0.95)]
    [0.2366, 0.7634]
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"got {successes} successes out of {n}; expected 0 <= successes <= n and n >= 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)
