"""Data that come in one order: short lanes see the beginning of it, and say nothing of what comes later."""

from __future__ import annotations

from etastar.core.data import IndexedBatches
from etastar.core.problem import Problem
from etastar.designs.best_rate.best_rate import BestRate

IN_ORDER = "data-in-order"


def order_flags(problem: Problem, best: BestRate) -> tuple[str, ...]:
    """`IN_ORDER`, where the lanes that decided saw less of data that are not shuffled than the training does.

    What an iterable dataset does with its order nobody knows beforehand: nothing is said of it.
    """
    decided = [rung.steps for rung in best.rungs if rung.best is not None]
    if problem.is_loop or not decided:
        return ()
    batches = problem.parts.batches
    if not isinstance(batches, IndexedBatches) or batches.shuffled or batches.per_epoch is None:
        return ()
    pass_over = batches.per_epoch / problem.accumulate
    return (IN_ORDER,) if decided[-1] < min(pass_over, problem.steps) else ()
