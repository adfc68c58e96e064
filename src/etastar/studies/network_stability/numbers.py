"""Numbers beside the claims, all exploratory: shares of other arms, tests, controls, slopes from equal weights."""

from __future__ import annotations

import math
from statistics import fmean

from etastar.core.estimate import Estimate
from etastar.studies.fits import LEVEL
from etastar.studies.network_stability.arms import ALL, CONST, CONTROLS, HALVES, block_decayed
from etastar.studies.network_stability.claims import SHARE
from etastar.studies.network_stability.gains import TENS, Gains, changed, ends, sharper, slope_of
from etastar.studies.network_stability.measure import AVERAGE, ENDS, SMOOTH
from etastar.studies.network_stability.reading import barrier
from etastar.studies.network_stability.shares import Quantity
from etastar.studies.network_stability.walk import DECAYS

Asked = tuple[str, Quantity, str]
THAN_CONST = "minus const's"


def numbers_of(gains: Gains) -> list[tuple[str, Estimate, str]]:
    """(name, estimate, what it is)."""
    asked = [*_shares(gains), *_at_the_ends(gains), *_rates(gains), *_controls(gains)]
    return [(name, quantity(LEVEL), what) for name, quantity, what in asked]


def _shares(gains: Gains) -> list[Asked]:
    of_all = lambda seed: gains.gain(seed, ALL)
    rows = [("gain of all", gains.over([CONST, ALL], of_all, "objective"), "objective of const minus all's")]
    for half in HALVES:
        for what in ("decayed", "frozen noisy", "settled, frozen", "settled, high again"):
            rows.append((f"share, {half} {what}", gains.share_of_arm(f"{half} {what}"), SHARE))
    blocks = [block_decayed(block) for block in gains.sizes.blocks]
    rows += [(f"share, {arm}", gains.share_of_arm(arm), SHARE) for arm in blocks]
    if blocks:
        added = gains.share(blocks, lambda seed: sum(gains.gain(seed, arm) for arm in blocks))
        rows.append(("share, blocks added up", added, "1 where what blocks gain alone adds up"))
    for decay in DECAYS:
        share = gains.share([], lambda seed, decay=decay: gains.averaged(seed, decay))
        rows.append((f"share, average {decay:g}", share, "of const's weights, on the same batches"))
    same = gains.share_of_arm("same sum of rates")
    return [*rows, ("share, same sum of rates", same, "x1.9 over the first half of the arm, x.1 over the second")]


def _at_the_ends(gains: Gains) -> list[Asked]:
    """Where const's, decayed and averaged weights lie."""
    rows: list[Asked] = []
    for name in (ALL, AVERAGE, *(f"{half} {AVERAGE}" for half in HALVES)):
        fixed = lambda seed, name=name: ends(gains, seed)["fixed"][name] - ends(gains, seed)["fixed"][CONST]
        what = f"{THAN_CONST}; 500 samples as they are"
        rows.append((f"fixed loss, {name}", gains.over([ENDS], fixed, "objective"), what))
    for name in (ALL, AVERAGE):
        for key in ("test", "accuracy"):
            what = f"{THAN_CONST}, with the statistics of 250 samples"
            rows.append((f"{key}, {name}", _tested(gains, name, key), what))
    to_average = gains.over([ENDS], lambda seed: sharper(gains, seed, AVERAGE), "log ratio")
    to_low = gains.over([ENDS], lambda seed: barrier(ends(gains, seed)["lines"][f"{CONST} - {ALL}"]), "objective")
    return [
        *rows,
        ("lambda1, average", to_average, "log of its ratio to const's"),
        ("barrier, const to decayed", to_low, "on the straight line"),
    ]


def _tested(gains: Gains, name: str, key: str) -> Quantity:
    of = lambda seed: ends(gains, seed)["tested"][name][key] - ends(gains, seed)["tested"][CONST][key]
    return gains.over([ENDS], of, key)


def _rates(gains: Gains) -> list[Asked]:
    """Slopes from equal weights, and what a restart does."""
    rows: list[Asked] = []
    for letter in "AB":
        for name in SMOOTH:
            arm = f"one step, {name}"
            slope = gains.over([arm], lambda s, a=arm, x=letter: slope_of(gains.rows[s, a]["looks"], x), "slope")
            rows.append((f"slope of {letter}, {name}", slope, "one step at four rates from the same weights"))
    after = lambda seed: fmean(
        gains.rows[seed, "restart"]["objective"][place] - gains.rows[seed, CONST]["objective"][place]
        for place in range(gains.sizes.arm // TENS + 1, (gains.sizes.arm + gains.sizes.half) // TENS)
    )
    than = lambda seed: changed(gains.rows[seed, ALL], 0) - changed(gains.rows[seed, CONST], 0)
    both = gains.over([ALL, "restart", CONST], than, "log ratio")
    return [
        *rows,
        ("A, all decayed", both, "log of its ratio to const's at the end of the arm; log .1 = -2.3"),
        (
            "objective after a restart",
            gains.over(["restart", CONST], after, "objective"),
            f"{THAN_CONST}, from ten steps on",
        ),
    ]


def _controls(gains: Gains) -> list[Asked]:
    rows: list[Asked] = []
    for what in CONTROLS:
        const, low = f"{CONST}, {what}", f"{ALL}, {what}"
        gain = gains.over([const, low], lambda seed, low=low, const=const: gains.gain(seed, low, const), "objective")
        rows.append((f"gain of all, {what}", gain, "both arms from the trunk on; of the objective they train on"))
    turned = lambda seed: math.log(gains.rows[seed, ALL]["angle"] / gains.rows[seed, CONST]["angle"])
    angle = gains.over([ALL, CONST], turned, "log ratio")
    return [
        *rows,
        ("angle of a step, all decayed", angle, "log of its ratio to const's; the rate alone would do log .1 = -2.3"),
        ("drift of const", gains.over([CONST], lambda seed: _drift(gains, seed), "objective a step"), "it is no plateau"),
        ("steps spent", gains.over([CONST], lambda seed: _spent(gains, seed), "share"), "of arms trained from the start"),
    ]


def _drift(gains: Gains, seed: int) -> float:
    """Const's change a step, between the middles of its first and last third."""
    tens = gains.rows[seed, CONST]["objective"][: gains.sizes.arm // TENS]
    third = len(tens) // 3
    return (fmean(tens[-third:]) - fmean(tens[:third])) / (TENS * (len(tens) - third))


def _spent(gains: Gains, seed: int) -> float:
    own = [row for (other, _), row in gains.rows.items() if other == seed and "steps_spent" in row]
    return sum(row["steps_spent"] for row in own) / sum(row["steps"] for row in own)
