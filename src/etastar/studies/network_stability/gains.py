"""The rows by seed and arm, and what is computed of one seed's: gains over const, and their shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from etastar.core.estimate import Estimate, Status
from etastar.studies.network_stability.arms import ALL, CONST, FACTORS
from etastar.studies.network_stability.measure import DECLARED, ENDS
from etastar.studies.network_stability.shares import Quantity, mean_of, share_of
from etastar.studies.network_stability.sizes import Sizes
from etastar.studies.record import Row

TENS = 10
"""Steps of a point of the rows' objective."""


class Gains:
    """The rows by seed and arm, and what is computed of one seed's."""

    def __init__(self, rows: Sequence[Row], sizes: Sizes) -> None:
        self.sizes = sizes
        self.rows = {(row["seed"], row["arm"]): row for row in rows}

    def seeds(self, *arms: str) -> list[int]:
        """Those that have all these arms."""
        return [seed for seed in range(self.sizes.seeds) if all((seed, arm) in self.rows for arm in arms)]

    def objective(self, seed: int, arm: str, window: int | None = None) -> float:
        """The mean over the last steps of the common length."""
        tens = self.rows[seed, arm]["objective"][: self.sizes.arm // TENS]
        return fmean(tens[-((window or self.sizes.window) // TENS) :])

    def gain(self, seed: int, arm: str, than: str = CONST) -> float:
        """By how much it is below const's, on the same batches."""
        return self.objective(seed, than) - self.objective(seed, arm)

    def averaged(self, seed: int, decay: float = DECLARED) -> float:
        """The same of const's averaged weights."""
        return self.objective(seed, CONST) - self.rows[seed, CONST]["averaged"][str(decay)]

    def over(self, arms: Sequence[str], of: Callable[[int], float], unit: str) -> Quantity:
        """The mean of a number over the seeds that have these arms."""
        seeds = self.seeds(*arms)
        return mean_of([of(seed) for seed in seeds], unit) if seeds else missing(arms, unit)

    def share(self, arms: Sequence[str], of: Callable[[int], float], unit: str = "share") -> Quantity:
        """A number as a share of the gain of decaying everything."""
        seeds = self.seeds(CONST, ALL, *arms)
        whole = [self.gain(seed, ALL) for seed in seeds]
        return share_of([of(seed) for seed in seeds], whole, unit) if seeds else missing(arms, unit)

    def share_of_arm(self, arm: str) -> Quantity:
        """The gain of an arm as that share."""
        return self.share([arm], lambda seed: self.gain(seed, arm))


def ends(gains: Gains, seed: int) -> Row:
    """Where the weights of a seed's ends lie."""
    return gains.rows[seed, ENDS]


def sharper(gains: Gains, seed: int, name: str) -> float:
    """log lambda1 there / lambda1 at const's; NaN where either has none or curves downwards."""
    top, than = (ends(gains, seed)["lambda1"][at] or math.nan for at in (name, CONST))
    return math.log(top / than) if top > 0 and than > 0 else math.nan


def slope(gains: Gains, letter: str) -> Quantity:
    """Of A (or B) over one step on the rate, one number a seed."""
    arms = [f"rate x{factor:g}" for factor in FACTORS]
    looks = lambda seed: [_look(gains.rows[seed, arm], -1) for arm in arms]
    return gains.over(arms, lambda seed: slope_of(looks(seed), letter), "slope")


def slope_of(looks: Sequence[Row], letter: str) -> float:
    """Of the mean log over blocks on the log of `FACTORS`, by least squares.

    >>> round(slope_of([{"A": {"x": factor**0.5}} for factor in FACTORS], "A"), 6)
    0.5
    """
    logs = [math.log(factor) for factor in FACTORS]
    centre = fmean(logs)
    up = sum((x - centre) * mean_log(look[letter]) for x, look in zip(logs, looks, strict=True))
    return up / sum((x - centre) ** 2 for x in logs)


def changed(row: Row, place: int) -> float:
    """The mean log A over one step, at one of the row's looks."""
    return mean_log(_look(row, place)["A"])


def _look(row: Row, place: int) -> Row:
    return [look for look in row["looks"] if look["k"] == 1][place]


def mean_log(blocks: dict[str, float | None]) -> float:
    """The mean log over blocks that change at all."""
    values = [math.log(v) for v in blocks.values() if v and v > 0]
    return fmean(values) if values else math.nan


def returns(gains: Gains) -> Quantity:
    """A of the restarted arm ten steps after it, over const's at that step."""
    ratio = lambda seed: math.exp(changed(gains.rows[seed, "restart"], -1) - changed(gains.rows[seed, CONST], -1))
    return gains.over(["restart", CONST], ratio, "ratio")


def missing(arms: Sequence[str], unit: str) -> Quantity:
    """No estimate, because these arms are no part of the effort, or are not measured yet."""
    said = arms[0] if arms else ALL
    return lambda level: Estimate.none(
        Status.NOT_MEASURED, f"{said} is no arm of this effort, or is not measured", unit=unit
    )
