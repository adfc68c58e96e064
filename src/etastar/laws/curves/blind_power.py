"""`BlindPower`: a power law in the number of updates, which sees no learning rate: the baseline of every other law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import UNIT, Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent


class BlindPower(CurveLaw):
    """L(t) = L0 + A t^-alpha, t = updates in thousands.

    >>> at = np.arange(100, 2001, 100)
    >>> law = BlindPower.fit([Curve(at, 2 + (at / 1000) ** -0.5, np.full(2000, 0.1))])
    >>> round(law.predict(np.full(4000, 0.1), [4000]).end.require(), 4)
    2.5
    """

    name = "blind power law"
    rises = True

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """alpha."""
        return [Exponent("alpha", 0.08, 1.5, 0.5, log=True)], {}

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 2]: 1, t^-alpha."""
        return np.stack([np.ones(len(clock.steps)), (clock.steps / UNIT) ** -exponents["alpha"]], axis=1)
