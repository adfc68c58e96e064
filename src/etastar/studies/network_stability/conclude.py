"""What the rows say: verdicts, numbers, what could have been seen, and how it compares with the pilot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from scipy.special import stdtrit

from etastar.core.estimate import Estimate
from etastar.reports.parts import Table
from etastar.studies.fits import LEVEL
from etastar.studies.network_stability import claims
from etastar.studies.network_stability.arms import ALL, CONST, DWELLS, held_at
from etastar.studies.network_stability.charts import SECTIONS, charts
from etastar.studies.network_stability.gains import TENS, Gains, ends, missing, returns, sharper, slope
from etastar.studies.network_stability.measure import AVERAGE, ENDS, sizes_of
from etastar.studies.network_stability.reading import barrier
from etastar.studies.network_stability.shares import Asked, Quantity, detectable, judged, share_of
from etastar.studies.network_stability.walk import DECAYS
from etastar.studies.record import Row
from etastar.studies.study import Findings, Setting

NumberRow = tuple[str, Estimate, str]


def conclude(rows: Sequence[Row], setting: Setting) -> Findings:
    """Verdicts, numbers, tables and charts."""
    gains = Gains(rows, sizes_of(setting))
    asked = asked_of(gains)
    numbers = [*_numbers(gains), *_controls(gains)]
    known = {c.claim.name: c.quantity(LEVEL) for c in asked} | {name: e for name, e, _ in numbers}
    tables = [_detectable(asked), *_against_pilot(known, setting)]
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


def _numbers(gains: Gains) -> list[NumberRow]:
    rows: list[tuple[str, Quantity, str]] = [
        (
            "gain of all",
            gains.over([CONST, ALL], lambda s: gains.gain(s, ALL), "objective"),
            "objective of const minus all's",
        ),
    ]
    for half in ("late", "early"):
        for what in ("decayed", "frozen noisy", "settled, frozen", "settled, high again"):
            arm = f"{half} {what}"
            rows.append((f"share, {arm}", gains.share_of_arm(arm), claims.SHARE))
    for decay in DECAYS:
        rows.append(
            (f"share, average {decay:g}", gains.share([], lambda s, d=decay: gains.averaged(s, d)), "of const's weights")
        )
    end = lambda of, unit: gains.over([ENDS], of, unit)
    rows.append(("drift of const", gains.over([CONST], _drift(gains), "objective a step"), "it is no plateau"))
    for name in (ALL, AVERAGE):
        fixed = lambda s, n=name: ends(gains, s)["fixed"][n] - ends(gains, s)["fixed"][CONST]
        rows.append((f"fixed loss, {name}", end(fixed, "objective"), "minus const's; 500 pictures as they are"))
        for key in ("test", "accuracy"):
            of = lambda s, n=name, k=key: ends(gains, s)["tested"][n][k] - ends(gains, s)["tested"][CONST][k]
            rows.append((f"{key}, {name}", end(of, key), "minus const's, with the statistics of 250 samples"))
    rows += [
        ("lambda1, average", end(lambda s: sharper(gains, s, AVERAGE), "log ratio"), "log of its ratio to const's"),
        ("barrier, const to decayed", end(lambda s: barrier(ends(gains, s)["lines"][f"{CONST} - {ALL}"]), "objective"),
         "on the straight line"),
        ("steps spent", gains.over([CONST], lambda s: _spent(gains, s), "share"), "of those of arms trained from the start"),
    ]  # fmt: skip
    return [(name, quantity(LEVEL), what) for name, quantity, what in rows]


def _drift(gains: Gains) -> Callable[[int], float]:
    """Const's change a step, between the middles of its first and last third."""

    def of(seed: int) -> float:
        tens = gains.rows[seed, CONST]["objective"][: gains.sizes.arm // TENS]
        third = len(tens) // 3
        return (fmean(tens[-third:]) - fmean(tens[:third])) / (TENS * (len(tens) - third))

    return of


def _spent(gains: Gains, seed: int) -> float:
    own = [row for (s, _), row in gains.rows.items() if s == seed and "steps_spent" in row]
    return sum(row["steps_spent"] for row in own) / sum(row["steps"] for row in own)


def _controls(gains: Gains) -> list[NumberRow]:
    rows: list[tuple[str, Quantity, str]] = []
    for what in ("no weight decay", "clean labels"):
        const, low = f"const, {what}", f"all decayed, {what}"
        gain = gains.over([const, low], lambda s, a=low, b=const: gains.gain(s, a, b), "objective")
        rows.append((f"gain of all, {what}", gain, "both arms from the trunk on; of the objective they train on"))
    turned = lambda s: math.log(gains.rows[s, ALL]["angle"] / gains.rows[s, CONST]["angle"])
    rows += [
        ("share, same sum of rates", gains.share_of_arm("same sum of rates"), "x1.9 over one half, x.1 over the other"),
        ("angle of a step, all decayed", gains.over([ALL, CONST], turned, "log ratio"),
         "log of its ratio to const's; log .1 = -2.3 is what the rate alone would do"),
    ]  # fmt: skip
    return [(name, quantity(LEVEL), what) for name, quantity, what in rows]


def _detectable(asked: Sequence[Asked]) -> Table:
    least = [(one, detectable(one.quantity)) for one in asked]
    rows = tuple(
        (one.claim.name, "-" if d is None else f"{d:.2g}", "primary, 90 %" if one.primary else "by Holm") for one, d in least
    )
    return Table("What could have been seen", ("claim", "smallest change told from none in 8 of 10 studies", "judged"), rows)


def _against_pilot(known: dict[str, Estimate], setting: Setting) -> list[Table]:
    if (setting.problem, setting.effort) != ("resnet18", "full"):
        return []
    rows = []
    for name, (value, error, seeds) in claims.PILOT.items():
        e = known[name]
        if e.value is None or e.low is None or e.high is None:
            continue
        own = (e.high - e.low) / 2 / float(stdtrit(e.n - 1, (1 + LEVEL) / 2))
        t = float(stdtrit(min(e.n, seeds) - 1, 0.975))
        half = t * math.hypot(own, error)
        off = e.value - value
        inside = "yes" if abs(off) <= half else "NO"
        rows.append((name, f"{e.value:.3g}", f"{value:.3g}", f"{off:.3g} ({off - half:.3g} to {off + half:.3g})", inside))
    return [Table("Against the pilot", ("number", "here", "pilot", "difference, 95 %", "0 inside"), tuple(rows))]
