"""The multi-power law of Luo et al.: every fall of the rate gains, saturating as a power of the rates summed since."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent

LEAST_RATE = 1e-4
"""Share of the reference below which a rate counts as this much in e^-gamma, which has no value at 0."""


class MultiPowerLaw(CurveLaw):
    """L(t) = L0 + A S1(t)^-alpha - B sum_k (e_{k-1} - e_k) G(e_k^-gamma S_k(t)),  G(x) = 1 - (1 + C x)^-beta

    S_k(t) is the sum of rates from k to t, S1 that from the start. The rise of the rate in the warm-up is no fall: with the
    published formula and not the released code. Falls are summed over blocks of the schedule, an abrupt one exactly.

    Source: K. Luo et al., ICLR 2025, arXiv 2503.12811.

    >>> rates = np.where(np.arange(3000) < 2000, 0.1, 0.02)
    >>> at = np.arange(200, 3001, 50)
    >>> s = np.cumsum(rates) / 100
    >>> gain = np.where(at > 2000, 0.8 * (1 - (1 + 5 * 0.2**-0.5 * (s[at - 1] - s[1999]).clip(0)) ** -0.6), 0.0)
    >>> law = MultiPowerLaw.fit([Curve(at, 2 + s[at - 1] ** -0.5 - 0.1 * gain, rates)], given={"gamma": 0.5, "beta": 0.6})
    >>> round(law.exponents["C"], 1), law.coefficients.round(3).tolist()
    (5.0, [2.0, 1.0, 0.1])
    """

    name = "multi-power law"

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """alpha, C, beta, gamma."""
        return [
            Exponent("alpha", 0.08, 1.5, 0.5, log=True),
            Exponent("C", 0.1, 2000.0, 10.0, log=True),
            Exponent("beta", 0.02, 3.0, 0.5, log=True),
            Exponent("gamma", 0.0, 1.5, 0.5),
        ], {}

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 3]: 1, S1^-alpha, minus the gain of all falls."""
        at_edge = np.concatenate([clock.e[:1], clock.e[clock.edges[1:] - 1]])
        falls = at_edge[:-1] - at_edge[1:]
        falls[clock.edges[1:] <= clock.warmup + 1] = 0.0
        edge = clock.edge_s
        single = np.diff(clock.edges) == 1
        since = np.where(single, edge[:-1], (edge[:-1] + edge[1:]) / 2)
        there = np.where(single, at_edge[1:], (at_edge[:-1] + at_edge[1:]) / 2)
        moved = np.abs(falls) > 1e-12
        x = np.maximum(there[moved], LEAST_RATE) ** -exponents["gamma"] * np.maximum(clock.s[:, None] - since[moved], 0.0)
        gain = (1 - (1 + exponents["C"] * x) ** -exponents["beta"]) @ falls[moved]
        return np.stack([np.ones(len(clock.s)), clock.s ** -exponents["alpha"], -gain], axis=1)
