"""`SameGain`: a power law in updates, from which every fall of the rate takes at once what the measured cooldowns gained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import UNIT, Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent


class SameGain(CurveLaw):
    """L(t) = L0 + A t^-alpha - G (largest rate so far - rate) / reference

    What people do by hand: go on with the curve at the peak rate, and take off the gain of the last cooldown.

    >>> at, rates = np.arange(100, 2001, 100), np.where(np.arange(2000) < 1500, 0.1, 0.05)
    >>> loss = 2 + (at / 1000) ** -0.5 - 0.2 * np.where(at > 1500, 0.5, 0.0)
    >>> law = SameGain.fit([Curve(at, loss, rates)])
    >>> law.coefficients.round(3).tolist()
    [2.0, 1.0, 0.2]
    """

    name = "same gain"
    rises = True

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """alpha."""
        return [Exponent("alpha", 0.08, 1.5, 0.5, log=True)], {}

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 3]: 1, t^-alpha, minus how far the rate has fallen."""
        fallen = np.concatenate([[0.0], np.maximum.accumulate(clock.e) - clock.e])[clock.steps]
        return np.stack([np.ones(len(fallen)), (clock.steps / UNIT) ** -exponents["alpha"], -fallen], axis=1)
