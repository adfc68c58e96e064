"""The momentum law of Tissue et al.: annealing gains in proportion to how far the rate has fallen, with a delay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import UNIT, Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent


class MomentumLaw(CurveLaw):
    """L(t) = L0 + A S1(t)^-alpha - C S2(t),  S2(t) = sum_{i <= t} m_i,  m_i = lambda m_{i-1} + (e_{i-1} - e_i)

    S1 is the sum of the rates, warm-up included; the rise of the rate in the warm-up is no annealing. lambda is fitted as
    its memory of 1 / (1 - lambda) updates. It is linear in the falls of the rate, so its best schedule is one abrupt drop
    near the
    end: it predicts schedules and must not choose them.

    Source: H. Tissue, V. Wang, L. Wang, arXiv 2408.11029.

    >>> rates = np.where(np.arange(3000) < 2000, 0.1, 0.02)
    >>> at = np.arange(200, 3001, 50)
    >>> m = np.concatenate([np.zeros(2000), 0.8 * 0.99 ** np.arange(1000)])
    >>> loss = 2 + (np.cumsum(rates)[at - 1] / 100) ** -0.5 - 0.1 * np.cumsum(m)[at - 1] / 1000
    >>> law = MomentumLaw.fit([Curve(at, loss, rates)])
    >>> round(law.exponents["memory"]), law.coefficients.round(3).tolist()
    (100, [2.0, 1.0, 0.1])
    """

    name = "momentum law"

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """alpha and the memory, 1 / (1 - lambda)."""
        return [
            Exponent("alpha", 0.08, 1.5, 0.5, log=True),
            Exponent("memory", 10.0, 1e5, 300.0, log=True),
        ], {}

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 3]: 1, S1^-alpha, -S2 (in thousands), lifted so that its coefficient is >= 0."""
        from scipy.signal import lfilter  # takes 0.3 s to import, which only this law needs

        falls = -np.diff(clock.e, prepend=clock.e[:1])
        falls[: clock.warmup + 1] = 0.0
        annealed = np.concatenate([[0.0], np.cumsum(lfilter([1.0], [1.0, 1 / exponents["memory"] - 1], falls))]) / UNIT
        return np.stack([np.ones(len(clock.s)), clock.s ** -exponents["alpha"], -annealed[clock.steps]], axis=1)
