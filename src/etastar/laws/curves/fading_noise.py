"""`FadingNoise`: a power law in intrinsic time, and noise that each update leaves and later updates let fade."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Array, Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.separable import Exponent

S_REFERENCE = 7.0
"""Intrinsic time at which B is the noise of the reference rate; any other would be absorbed in B."""
AGING = -0.15
"""The gain of annealing shrinks as training proceeds: fits on whole sets give d = -.20 (25M), -.12 (100M), -.08 (124M).
Never
fitted: from three curves of 124M a free d comes out with the wrong sign (mean error .0105 instead of .0047)."""
AGING_SD = 0.05
"""How much that differs from one set to the next; refits for intervals draw it."""
NOISE_POWER, FORGETTING, SPEED = 0.7, 1.3, 100.0
"""p, kappa and C where the curves cannot tell: whole sets give p = .60, .71, .55; from two curves free ones fail (.018)."""
NOISE_POWER_SD, FORGETTING_SD, HALF_SD = 0.13, 1.0, 0.5
"""Spread, drawn in refits where they are given, of p, of ln (kappa - 1), and of the log of the intrinsic time in which half
of the
noise is forgotten, which C follows: it is .05 - .1 wherever three curves gave kappa = 1.4 - 3.1 and C = 6 - 70."""
MOST_SPEED = 2000.0
OF_LOSS, OF_NOISE = 0.0008, 0.0115
"""What the law lacks, as shares of the loss and of the noise B: at larger peaks B is larger (124M: .26, .32, .42 nats at
5e-4, 1e-3, 2e-3), and so are the errors (.0035, .0051, .0072), while losses hardly differ. Each of seven sets of curves is
held to 86 - 100 % by the share that gives the six others 92 %, which is .010 - .013."""


class FadingNoise(CurveLaw):
    """L(t) = L0 + A s(t)^-alpha + B sum_k e_k^p (s_k / 7)^d [F(s(t) - s_k) - F(s(t) - s_{k-1})],  F(u) = (1 + C u)^(1 -
    kappa)

    s is intrinsic time (`Clock`), e_k the rate over the peak of the curves fitted. Under a constant rate and d = 0 the noise
    tends to B. It fades in intrinsic time, so it does not fade once the rate is zero. The whole schedule enters: warm-up,
    restarts and cycles need no rule of their own. F is integrated exactly over blocks of the schedule.

    Three curves, one of them at a constant rate and two annealed, give p, kappa and C; fewer, only C, and that only if a
    rate fell abruptly. d = `AGING` always.

    Source: the kernel is that of Li et al. 2025 (functional scaling laws, arXiv 2509.19189), with two exponents, p and d.

    >>> rates = {f: np.where(np.arange(4000) < f * 4000, 0.1, 0.02) for f in (0.5, 1.0)}
    >>> at, loss = np.arange(200, 4001, 100), lambda s: 2 + s**-0.5
    >>> curves = [Curve(at, loss(np.cumsum(r)[at - 1] / 100), r) for r in rates.values()]
    >>> law = FadingNoise.fit(curves)
    >>> round(law.exponents["alpha"], 3), law.coefficients.round(3).tolist()
    (0.5, [2.0, 1.0, 0.0])
    """

    name = "fading noise"
    rises = True
    peaks = True

    @classmethod
    def exponents_of(cls, curves: Sequence[Curve]) -> tuple[list[Exponent], dict[str, float]]:
        """alpha, and of C, kappa and p those that the curves can tell."""
        free, given = [Exponent("alpha", 0.08, 1.5, 0.5, log=True)], {"d": AGING}
        every = sum(c.annealed for c in curves) >= 2 and any(c.constant for c in curves)
        if len(curves) >= 2 and any(c.abrupt for c in curves):
            free.append(Exponent("C", 0.1, MOST_SPEED, 30.0, log=True))
        else:
            given["C"] = SPEED
        if every:
            return [*free, Exponent("kappa", 1.02, 6.0, 1.8, log=True), Exponent("p", 0.2, 2.0, 0.8)], given
        return free, given | {"kappa": FORGETTING, "p": NOISE_POWER}

    @classmethod
    def drawn(cls, given: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
        """The given numbers as they might have been."""
        d, p, kappa, half = rng.standard_normal(4) * (AGING_SD, NOISE_POWER_SD, FORGETTING_SD, HALF_SD)
        forgetting = (FORGETTING - 1) * math.exp(kappa)
        # F(h) = 1/2 at h = (2^(1 / (kappa - 1)) - 1) / C, kept but for its own spread
        speed = SPEED * math.expm1(math.log(2) / forgetting) / math.expm1(math.log(2) / (FORGETTING - 1)) / math.exp(half)
        might = {"d": AGING + d, "p": max(NOISE_POWER + p, 0.2), "kappa": 1 + forgetting, "C": min(speed, MOST_SPEED)}
        return {name: might[name] for name in given}

    def discrepancy(self, clock: Clock) -> Array:
        """[N] relative: `OF_LOSS`, the residuals' rms, and `OF_NOISE` of B; one run alone does not tell B."""
        if len(self.curves) == 1:
            return super().discrepancy(clock)
        values = self.values(clock.e * self.reference, clock.steps)
        return np.sqrt(OF_LOSS**2 + self.rms**2 + (OF_NOISE * self.coefficients[2] / values) ** 2)

    @classmethod
    def columns(cls, exponents: dict[str, float], clock: Clock) -> Array:
        """[N, 3]: 1, s^-alpha, noise."""
        return np.stack([np.ones(len(clock.s)), clock.s ** -exponents["alpha"], noise(exponents, clock)], axis=1)


def noise(exponents: dict[str, float], clock: Clock) -> Array:
    """[N]: the sum in `FadingNoise`, over blocks."""
    edge = clock.edge_s
    middle = np.maximum((edge[1:] + edge[:-1]) / 2, 1e-12)
    left = (clock.mean_e ** exponents["p"]) * (middle / S_REFERENCE) ** exponents["d"]
    faded = (1 + exponents["C"] * np.maximum(clock.s[:, None] - edge, 0.0)) ** (1 - exponents["kappa"])
    return np.diff(faded, axis=1) @ left
