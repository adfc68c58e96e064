"""The verdict on the rate in use today, against the best rate and against eta*."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.eta_star.success_band import SuccessBand
from etastar.verbs.answer import Yours
from etastar.verbs.find.one_seed import ONE_SEED

WORTH_SAYING = 1.1
"""A loss this many times the best is worth a word."""


@dataclass(frozen=True)
class Judged(Yours):
    """The rate in use today, judged by lanes of its own schedule.

    Args:
        verdict: good (on the plateau), plausible (inside the interval), low, high, on-the-edge, will-not-last, too-high,
            cannot-tell (lanes of one seed that end by luck), or unknown.
        probability: share of fresh seeds that start to train at it; None if eta* was not measured.
        loss_ratio: expected loss at it / loss at the best; None where no lane was near.
    """

    probability: float | None = None
    loss_ratio: float | None = None


def judge(lr: float, best: BestRate, band: SuccessBand | None, end: SuccessBand | None, said: str | None = None) -> Judged:
    """Judge `lr`: first whether it trains at all, then how far it is from the best.

    Args:
        said: what the sentence calls it; default: the number.
    """
    said = said or f"{lr:.3g}"
    eta_star = band.eta_star if band else None
    of_best = lr / best.lr.require() if best.lr.ok else None
    of_eta_star = lr / eta_star.require() if eta_star and eta_star.ok else None
    probability = band.probability(lr) if band and of_eta_star is not None else None
    ratio = best.loss_ratio(lr)
    verdict, sentence = _against_eta_star(lr, said, band, end) or _against_best(lr, said, best, ratio)
    return Judged(lr, verdict, sentence, of_best, of_eta_star, probability, ratio)


def _against_eta_star(lr: float, said: str, band: SuccessBand | None, end: SuccessBand | None) -> tuple[str, str] | None:
    """A verdict on a rate that does not train, or does not keep training; None for one that does, as far as is known."""
    if band is None or not band.eta_star.ok:
        return None
    eta_star = band.eta_star.require()
    of = f"{lr / eta_star:.2g} x eta*"
    if lr > (band.eta_star.high or eta_star):
        return "too-high", f"your {said} is too high: {of}, most fresh networks do not start to train"
    if band.eta_star_90.value is not None and lr > band.eta_star_90.value:
        return "on-the-edge", f"your {said} is on the edge: {of}; some seeds fail"
    if end and end.eta_star.value is not None and lr > end.eta_star.value:
        return (
            "will-not-last",
            f"your {said} starts to train but loses it again within {band.steps} steps: {of}",
        )
    return None


def _against_best(lr: float, said: str, best: BestRate, ratio: float | None) -> tuple[str, str]:
    if not best.lr.ok or best.lr.low is None or best.lr.high is None:
        return "unknown", f"your {said} cannot be judged without the best rate"
    if ONE_SEED in best.lr.flags:
        return "cannot-tell", f"your {said} cannot be told from the best by lanes of one seed, which here end by luck"
    of = f"{lr / best.lr.require():.2g} x the recommended rate"
    cost = f"; expect a loss about {ratio:.2g} x the best" if ratio is not None and ratio >= WORTH_SAYING else ""
    low, high = best.plateau or (best.lr.require(), best.lr.require())
    if low <= lr <= high:
        return "good", f"your {said} is good: {of}, on the plateau"
    if lr < best.lr.low:
        return "low", f"your {said} is low: {of}{cost}"
    if lr > best.lr.high:
        return "high", f"your {said} is high: {of}{cost}"
    return "plausible", f"your {said} is plausible: {of}, inside the interval{cost}"
