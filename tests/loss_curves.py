"""Schedules, and loss curves whose law is known."""

from __future__ import annotations

import numpy as np

from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Curve

STEPS = 12_000
WARMUP = 400
FADING = {"alpha": 0.5, "C": 8.0, "kappa": 2.2, "p": 0.65, "d": -0.15}


def warmed(after, steps: int = STEPS, peak: float = 1e-3):
    """[steps] rates: linear warm-up, then `after`(share of the rest that is over) x peak."""
    k = np.arange(steps)
    rest = (k - WARMUP).clip(0) / (steps - WARMUP)
    return peak * np.where(k < WARMUP, (k + 1) / WARMUP, np.vectorize(after)(rest))


SCHEDULES = {
    "constant": lambda x: 1.0,
    "cosine": lambda x: 0.1 + 0.45 * (1 + np.cos(np.pi * x)),
    "linear": lambda x: 1 - x,
    "wsd": lambda x: min(1.0, (1 - x) / 0.2),
    "two stages": lambda x: 1.0 if x < 0.4 else 0.3,
    "sqrt": lambda x: 1.0 if x < 0.8 else 1 - np.sqrt((x - 0.8) / 0.2),
    "restart": lambda x: 0.1 + 0.45 * (1 + np.cos(np.pi * (2 * x % 1))),
}


def curve(name: str, loss, steps: int = STEPS, every: int = 100, noise: float = 0.0, seed: int = 0, **fields) -> Curve:
    """A run of this schedule whose loss after n updates is loss(rates)[n - 1], with relative noise."""
    rates = warmed(SCHEDULES[name], steps)
    at = np.arange(every, steps + 1, every)
    true = loss(rates)[at - 1]
    rng = np.random.default_rng(seed)
    return Curve(at, true * (1 + noise * rng.standard_normal(len(at))), rates, name=name, **fields)


def fading(rates, exponents=FADING, coefficients=(2.6, 0.9, 0.3), reference: float = 1e-3):
    """Losses after each update by the law of fading noise, block by block (one update a block where it can)."""
    from etastar.laws.curves.fading_noise import FadingNoise

    at = np.arange(1, len(rates) + 1)
    every = at[:: max(len(rates) // 2000, 1)]
    clock = Clock.of(rates, reference, every, blocks=400)
    return np.interp(at, every, FadingNoise.columns(exponents, clock) @ np.array(coefficients))


def multipower(rates, reference: float = 1e-3):
    """Losses after each update by the multi-power law: none of fading noise's forms."""
    from etastar.laws.curves.luo2025multipower import MultiPowerLaw

    at = np.arange(1, len(rates) + 1)
    every = at[:: max(len(rates) // 2000, 1)]
    clock = Clock.of(rates, reference, every, blocks=400)
    columns = MultiPowerLaw.columns({"alpha": 0.45, "C": 5.0, "beta": 0.5, "gamma": 0.6}, clock)
    return np.interp(at, every, columns @ np.array([2.8, 0.9, 0.25]))
