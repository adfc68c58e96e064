"""What each effort of `find` may cost, in steps: known before anything is measured."""

from __future__ import annotations

from dataclasses import replace

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Until
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.eta_star.eta_star import EtaStar, Precision

EFFORTS: dict[str, float] = {"glance": 0.6, "quick": 3.2, "thorough": 3.2}
"""effort -> full runs that the search with short lanes may cost."""
ETA_STAR, ETA_STAR_END = Precision(), Precision(half_width=0.25, max_runs=24, min_runs=8, scan_seeds=1)
"""What `thorough` asks of eta* and eta*_end."""


def end_design(start: EtaStar, precision: Precision) -> EtaStar:
    """The measurement of eta*_end: lanes that run all their steps, from two decades below eta* to just above it."""
    return replace(start, around=1.0, until=Until.END, precision=precision, reach=(2.0, 0.5), flags=())


def most_runs(effort: str, steps: int, start_steps: int) -> float:
    """Full runs of `steps` steps that an effort takes at most.

    Args:
        start_steps: steps of the lanes that measure eta*.

    >>> most_runs("quick", 1000, 200), most_runs("thorough", 100_000, 200)
    (3.2, 43.408)
    """
    if effort != "thorough":
        return EFFORTS[effort]
    start = EtaStar(Criterion(), start_steps, precision=ETA_STAR)
    eta = sum((design.planned() for design in (start, end_design(start, ETA_STAR_END))), Plan(0, 0))
    return EFFORTS[effort] + (eta.steps + FullLength(Criterion(), steps).planned().steps) / steps
