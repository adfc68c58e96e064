"""What the rows say of the claims, what could have been seen, and how it compares with the pilot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from scipy.special import stdtrit

from etastar.core.estimate import Estimate
from etastar.reports.parts import Table
from etastar.studies.fits import LEVEL
from etastar.studies.network_stability import claims
from etastar.studies.network_stability.arms import ALL, CONST, DWELLS, held_at
from etastar.studies.network_stability.charts import SECTIONS, charts
from etastar.studies.network_stability.gains import Gains, ends, missing, returns, sharper, slope
from etastar.studies.network_stability.measure import AVERAGE, ENDS, sizes_of
from etastar.studies.network_stability.numbers import numbers_of
from etastar.studies.network_stability.reading import barrier
from etastar.studies.network_stability.shares import Asked, detectable, judged, share_of
from etastar.studies.record import Row
from etastar.studies.study import Findings, Setting


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Verdicts, numbers, tables and charts."""
    gains = Gains(rows, sizes_of(setting))
    asked = asked_of(gains)
    numbers = numbers_of(gains)
    known = {c.claim.name: c.quantity(LEVEL) for c in asked} | {name: e for name, e, _ in numbers}
    tables = [_detectable(asked), *against_pilot(known, setting)]
    return Findings(judged(asked), tuple(numbers), tuple(tables), SECTIONS, charts(gains, numbers))


def asked_of(gains: Gains) -> list[Asked]:
    """Every claim with its quantity."""
    frozen = [f"late held at {step}" for step in held_at(gains.sizes)]
    moving = [f"late held, changed every {dwell}" for dwell in DWELLS]
    mean = lambda seed, arms: fmean(gains.objective(seed, arm) for arm in arms)
    fall = lambda seed: -ends(gains, seed)["fixed"][ALL] + ends(gains, seed)["fixed"][CONST]
    known = gains.seeds(ENDS)
    valley = share_of(
        [barrier(ends(gains, seed)["lines"][f"{ALL} - {AVERAGE}"]) for seed in known], [fall(seed) for seed in known]
    )
    last, first = "linear decay", "linear decay, early first"
    third = gains.sizes.window // 3
    primary = [
        (claims.AVERAGING, gains.share([], lambda seed: gains.gain(seed, ALL) - gains.averaged(seed))),
        (
            claims.SAME_NOISE,
            gains.over([*frozen, *moving], lambda seed: mean(seed, frozen) - mean(seed, moving), "objective"),
        ),
        (claims.SHARPER, gains.over([ENDS], lambda seed: sharper(gains, seed, ALL), "log ratio")),
        (claims.ONE_VALLEY, valley if known else missing([ENDS], "share")),
    ]
    others = [
        (claims.ACTIVATIONS, slope(gains, "A")),
        (claims.SIGNALS, slope(gains, "B")),
        (claims.GAIN, gains.over([CONST, ALL], lambda seed: gains.gain(seed, ALL), "objective")),
        (claims.HELPS["late"], gains.share_of_arm("early frozen noisy")),
        (claims.HELPS["early"], gains.share_of_arm("late frozen noisy")),
        *((claims.NOW[half], gains.share_of_arm(f"{half} settled, high again")) for half in ("late", "early")),
        (claims.RETURNS, returns(gains)),
        (
            claims.BLOCKWISE,
            gains.share([last, first], lambda s: gains.objective(s, first, third) - gains.objective(s, last, third)),
        ),
    ]
    return [Asked(c, q, primary=True) for c, q in primary] + [Asked(c, q) for c, q in others]


def _detectable(asked: Sequence[Asked]) -> Table:
    least = [(one, detectable(one.quantity)) for one in asked]
    rows = tuple(
        (one.claim.name, "-" if d is None else f"{d:.2g}", "primary, 90 %" if one.primary else "by Holm") for one, d in least
    )
    return Table("What could have been seen", ("claim", "smallest change told from none in 8 of 10 studies", "judged"), rows)


def against_pilot(known: dict[str, Estimate], setting: Setting) -> list[Table]:
    """Differences from the pilots of ResNet-18, empty for other networks; of `faithful`, also from the reduced network's."""
    pilots = {
        "full": {"Against the pilot": claims.PILOT},
        "faithful": {
            "Against the pilot": claims.FULL_SIZE,
            "Against the pilot of the reduced network": claims.SHARES,
        },
    }
    own = pilots.get(setting.effort, {}) if setting.problem == "resnet18" else {}
    return [_differences(title, known, pilot) for title, pilot in own.items()]


def _differences(title: str, known: dict[str, Estimate], pilot: dict[str, tuple[float, float, int]]) -> Table:
    """With Welch's 95 % interval, by the fewer seeds of the two."""
    rows = []
    for name, (value, error, seeds) in pilot.items():
        e = known[name]
        if e.value is None or e.low is None or e.high is None:
            continue
        own = (e.high - e.low) / 2 / float(stdtrit(e.n - 1, (1 + LEVEL) / 2))
        t = float(stdtrit(min(e.n, seeds) - 1, 0.975))
        half = t * math.hypot(own, error)
        off = e.value - value
        inside = "yes" if abs(off) <= half else "NO"
        rows.append((name, f"{e.value:.3g}", f"{value:.3g}", f"{off:.3g} ({off - half:.3g} to {off + half:.3g})", inside))
    return Table(title, ("number", "here", "pilot", "difference, 95 %", "0 inside"), tuple(rows))
