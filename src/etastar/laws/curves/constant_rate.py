"""`ConstantRate`: one run at a constant rate, of which two laws say different ends; each counts as well as it back-tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import halves, relative_error
from etastar.laws.curves.fading_noise import FadingNoise


def law_of(curves: Sequence[Curve], level: float = 0.9) -> FadingNoise:
    """The law that forecasts where none is named: fading noise, or `ConstantRate` where all there is is such a run."""
    one = len(curves) == 1 and curves[0].constant
    return (ConstantRate if one else FadingNoise).fit(curves, level=level)


class ConstantRate(FadingNoise):
    """w x fading noise + (1 - w) x blind power law,  w : 1 - w = 1 / error^4 of each on the second half of the losses.

    A curve at a constant rate cannot tell the noise from the power law, and which of the two forms goes on rightly differs
    from run to run: continued from a half to the whole, fading noise errs by .005, .001 and .007, the blind law by .017,
    .014 and .006 (25M, 100M, 124M at 5e-4). These are biases: squares of errors would let the worse one in by a seventh
    where it errs 2.5 x as much (1.7 x the blind law's error on a quarter of 124M), fourth powers by a fortieth (1.1 x). The
    interval holds what both say.
    """

    name = "fading noise and blind power law"

    @cached_property
    def noisy(self) -> FadingNoise:
        """Fading noise of the same curve."""
        return FadingNoise.fit(self.curves, level=self.level)

    @cached_property
    def blind(self) -> BlindPower:
        """The blind power law of the same curve."""
        return BlindPower.fit(self.curves, level=self.level)

    @cached_property
    def weight(self) -> float:
        """w."""
        first, second = halves(self.curves[0])
        noisy, blind = (max(relative_error(law.fit([first]), second), 1e-12) for law in (FadingNoise, BlindPower))
        return blind**4 / (noisy**4 + blind**4)

    def values(self, rates: ArrayLike, steps: ArrayLike) -> Array:
        """[N] the mean of both."""
        return self.weight * self.noisy.values(rates, steps) + (1 - self.weight) * self.blind.values(rates, steps)

    def spread(self, clock: Clock) -> Array:
        """[N] standard deviation of a loss about that mean."""
        w, rates = self.weight, clock.e * self.reference
        apart = self.noisy.values(rates, clock.steps) - self.blind.values(rates, clock.steps)
        return np.sqrt(w * self.noisy.spread(clock) ** 2 + (1 - w) * self.blind.spread(clock) ** 2 + w * (1 - w) * apart**2)
