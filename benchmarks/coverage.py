"""Coverage of the 90 % interval of eta* on synthetic truths, none of which is exactly the fitted model.

Every replicate draws its own eta* and its own outcomes; the design sees a real scan and real batches, only the training is
replaced by a coin whose bias is the truth at that rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest

from etastar.core.lane import Criterion, Lane, LaneStatus, Outcome, Runs
from etastar.designs.eta_star.eta_star import EtaStar, Precision
from etastar.designs.eta_star.success_band import SuccessBand

Truth = Callable[[float], float]
SLOPE = 2 * np.log(9)
LOWER_FLANK = -3.3


def _band(upper: Truth) -> Truth:
    """The upper flank times a lower one far below it."""
    return lambda x: upper(x) * float(expit((x - LOWER_FLANK) / 0.1))


def logistic(mu: float, width: float) -> Truth:
    """The fitted shape without lapses; `width` is the 10-90 % width."""
    return _band(lambda x: float(expit(SLOPE * (mu - x) / width)))


def skewed(mu: float, width: float) -> Truth:
    """exp(-exp((x - a) / b)): a long tail below the edge, a sharp end above it; 50 % at mu."""
    b = width / (np.log(np.log(10)) - np.log(-np.log(0.9)))
    a = mu - b * np.log(np.log(2))
    return _band(lambda x: float(np.exp(-np.exp(min((x - a) / b, 50.0)))))


def islands(mu: float, width: float) -> Truth:
    """A logistic flank of which 8 % of good rates fail, and 12 % of bad ones up to 0.9 decade above it train."""

    def upper(x: float) -> float:
        p = float(expit(SLOPE * (mu - x) / width))
        if mu + 0.15 < x < mu + 0.9:
            p = max(p, 0.12)
        return min(p, 0.92) if x < mu - 0.1 else p

    return _band(upper)


TRUTHS: dict[str, Callable[[float, float], Truth]] = {"logistic": logistic, "skewed": skewed, "islands": islands}


@dataclass(frozen=True)
class Coin:
    """An engine whose lanes train with the truth's probability."""

    truth: Truth
    rng: np.random.Generator

    @property
    def name(self) -> str:
        return "coin"

    def outcome(self, lane: Lane) -> Outcome:
        trained = self.rng.random() < self.truth(lane.log_lr)
        status = LaneStatus.TRAINED if trained else LaneStatus.SLOW if lane.log_lr < -2.5 else LaneStatus.DIVERGED
        end = 0.5 * float(self.rng.random()) if trained else 2.0 + float(self.rng.random())
        return Outcome(lane, status, 10 if trained else None, 10, 1.0, end)

    def train(self, problem: object, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        return ((i, self.outcome(lane)) for i, lane in enumerate(lanes))


def measure(truth: Truth, seed: int, precision: Precision | None = None) -> SuccessBand:
    """One whole measurement of eta* against `truth`."""
    coin = Coin(truth, np.random.default_rng(seed))
    design = EtaStar(Criterion(), steps=100, around=1e-2, precision=precision or Precision(), seed=seed)
    while lanes := design.ask():
        design.tell(Runs(coin.outcome(lane) for lane in lanes))
    return design.answer()


def replicate(kind: str, width: float, seed: int) -> dict[str, object]:
    """One replicate: a fresh eta*, one measurement, whether its interval holds the truth."""
    mu = float(np.random.default_rng((seed, 1)).uniform(-1.6, -0.6))
    band = measure(TRUTHS[kind](mu, width), seed)
    e = band.eta_star
    return {
        "truth": kind,
        "width": width,
        "seed": seed,
        "log_eta_star": mu,
        "status": e.status.value,
        "value": e.value,
        "low": e.low,
        "high": e.high,
        "covered": bool(e.ok and np.log10(e.low or 1) <= mu <= np.log10(e.high or 1)),
        "runs": band.refine_runs,
        "half_width": (e.high - e.low) / 2 / e.value if e.ok and e.value and e.high and e.low else None,
        "flags": list(e.flags),
    }


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share k of n."""
    return binomtest(k, n).proportion_ci(level, method="wilson")
