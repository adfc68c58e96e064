"""How far laws are off on a log they did not see, or on the second part of the only one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.constant_rate import law_of
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.curve_law import CurveLaw
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.same_gain import SameGain
from etastar.laws.curves.tissue2024momentum import MomentumLaw

OTHERS: tuple[type[CurveLaw], ...] = (BlindPower, SameGain, MomentumLaw, MultiPowerLaw)
AT_THE_END = 3
"""Losses whose mean error is the error at the end."""


@dataclass(frozen=True)
class Check:
    """One law on one log it was not fitted to.

    Args:
        log, law: their names.
        mae: mean |error| over the losses it speaks about; None if it speaks of none.
        final_error: mean error (law - measured) of the last `AT_THE_END`, where it speaks about the end.
        worst: largest relative |error|.
        coverage: share of those losses that lie in their intervals.
        answered: share of the losses it speaks about.
        reason: why it is silent about others; "" if it is not.
    """

    log: str
    law: str
    mae: float | None
    final_error: float | None
    worst: float | None
    coverage: float | None
    answered: float
    reason: str


def back_tested(fitted: Sequence[Curve], held: Curve, level: float = 0.9) -> tuple[Check, ...]:
    """The default law first, then the simple and the published ones, fitted to `fitted` and asked about `held`'s losses.

    Losses of another kind among them (shifted) are none of those.

    Args:
        fitted: all that the laws see.
        held: of it the laws see steps and rates; its losses are looked at after the forecast.
        level: of the intervals.
    """
    held = held.at(~held.shifted)
    laws = (law_of(fitted, level), *(law.fit(fitted, level=level) for law in OTHERS))
    return tuple(_check(law, held) for law in laws)


def _check(law: CurveLaw, held: Curve) -> Check:
    found = law.predict(held.rates, held.steps)
    value, low, high = (found.column(name) for name in ("value", "low", "high"))
    there = ~np.isnan(value)
    reason = next((e.reason for e in reversed(found) if not e.ok), "")
    if not there.any():
        return Check(held.name, law.name, None, None, None, None, 0.0, reason)
    off, losses = (value - held.losses)[there], held.losses[there]
    inside = (low <= held.losses) & (held.losses <= high)
    final = float(off[-AT_THE_END:].mean()) if there[-1] else None
    mae, worst = float(np.abs(off).mean()), float(np.abs(off / losses).max())
    return Check(held.name, law.name, mae, final, worst, float(inside[there].mean()), float(there.mean()), reason)
