"""Which schedule for a run, at the peak that was measured: two laws rank, one says the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etastar.core.estimate import Estimate, Status
from etastar.laws.curves.conditions import SAME_PEAK
from etastar.laws.curves.curve import Array, Curve, checked_rates
from etastar.laws.curves.fading_noise import FORGETTING, NOISE_POWER, FadingNoise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw


@dataclass(frozen=True)
class RankedShape:
    """One candidate.

    Args:
        name: of the schedule.
        loss: at its end, or why it is not known.
        score: what it is ranked by; infinite without a loss.
    """

    name: str
    loss: Estimate
    score: float


def ranked(
    curves: Sequence[Curve], candidates: Mapping[str, Array], *, level: float = 0.9, law: FadingNoise | None = None
) -> tuple[RankedShape, ...]:
    """Candidates by the mean of what fading noise (p and kappa given) and the multi-power law expect at their ends.

    The law of fading noise flatters cooldowns by 1 - sqrt, the multi-power law those that are short: their mean chose within
    .0002 nats of the best of all shapes on 124M, each alone within .007. A schedule at another peak is refused: a law that
    chose it took twice the best one, at 2 - 20 % more loss; `peak_ratio` carries a peak from one shape to another.

    Args:
        curves: measured, see `CurveLaw.fit`.
        candidates: name -> [T] rates from the first update on.
        level: probability of the intervals.
        law: of these curves, if it was fitted already.
    """
    law = law or FadingNoise.fit(curves, level=level)
    noisy = FadingNoise.fit(curves, level=level, given={"p": NOISE_POWER, "kappa": FORGETTING})
    second = MultiPowerLaw.fit(curves, level=level)
    found = [_shape(name, checked_rates(rates, name), law, noisy, second) for name, rates in candidates.items()]
    return tuple(sorted(found, key=lambda shape: shape.score))


def _shape(name: str, rates: Array, law: FadingNoise, noisy: FadingNoise, second: MultiPowerLaw) -> RankedShape:
    ratio = float(rates.max()) / law.reference
    if not 1 / SAME_PEAK <= ratio <= SAME_PEAK:
        reason = (
            f"the schedule {name!r} peaks at {rates.max():.3g} and the curves at {law.reference:.3g}: laws of loss curves "
            "choose shapes at the measured peak, never the peak; measure a run there, or carry the peak over with peak_ratio"
        )
        return RankedShape(name, Estimate.none(Status.OUTSIDE_THE_LAW, reason, level=law.level, unit="loss"), math.inf)
    ends = [len(rates)]
    loss = law.predict(rates, ends).end
    one, other = (float(each.spoken(rates, ends)[0]) for each in (noisy, second))
    if loss.value is None:
        return RankedShape(name, loss, math.inf)
    return RankedShape(name, loss, one if math.isnan(other) else (one + other) / 2)
