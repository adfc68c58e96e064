"""What lanes take beside their training, in gradient steps: scoring, and what policies look at."""

from __future__ import annotations

import math
from collections.abc import Iterable

from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.first_losses import FIRST_SAMPLES
from etastar.engine.signals import keys_of
from etastar.engine.validation import samples_a_step, samples_for

FORWARD = 1 / 3
"""Cost of a forward pass in gradient steps: the backward pass is twice as dear."""
SHARPNESS_LOOK, CURVATURE_LOOK = 12.0, 3.0
"""Gradient steps that a look of a policy takes: measured 10.6 to 15.0 (seven to eight products) and 2.7 to 3.4, on three
networks of digits."""


def scoring_steps(problem: Problem, lane: Lane) -> float:
    """What scoring a lane takes at its end, in gradient steps."""
    if problem.is_loop or problem.valid_batches is None:
        return 0.0
    return FORWARD * min(samples_for(problem, lane), problem.valid_batches.size or math.inf) / samples_a_step(problem)


def cost_of(problem: Problem, outcomes: Iterable[Outcome]) -> float:
    """What these lanes took beside their training, in gradient steps: `scoring_of` and `looks_of`."""
    lanes = list(outcomes)
    return scoring_of(problem, lanes) + looks_of(lanes)


def looks_of(outcomes: Iterable[Outcome]) -> float:
    """What policies saw of second derivatives, in gradient steps."""
    return sum(price * -(-o.spent // every) for o in outcomes for every, price in _looks_at_hessian(o.lane))


def scoring_of(problem: Problem, outcomes: Iterable[Outcome]) -> float:
    """Forward passes, in gradient steps: a validation for each lane, one for each seed before training, and what policies
    saw of `watch`."""
    if problem.is_loop:
        return 0.0
    samples = 0
    seeds: dict[tuple[int, int], int] = {}
    for outcome in outcomes:
        lane, size = outcome.lane, FIRST_SAMPLES
        if problem.valid_batches is not None:
            size = min(samples_for(problem, lane), problem.valid_batches.size or math.inf)
        if outcome.valid_loss is not None:
            samples += int(size)
        samples += _watched(problem) * sum(-(-outcome.spent // every) for every in _looks_at(lane, "valid_loss"))
        if outcome.first_valid_loss is not None or outcome.first_train_loss is not None:
            seeds[lane.seed, int(size)] = int(size)
    return FORWARD * (samples + sum(seeds.values())) / samples_a_step(problem)


def _watched(problem: Problem) -> int:
    """Samples of `watch`."""
    batches = problem.watch_batches
    return 0 if batches is None else batches.size or (batches.per_epoch or 0) * (batches.batch_size or 1)


def _looks_at(lane: Lane, signal: str) -> list[int]:
    """Steps between two looks at a signal; several parts of one policy share the looks they have in common."""
    own = [every for name, every in keys_of(lane.policy) if name == signal]
    return [every for every in own if not any(other < every and every % other == 0 for other in own)]


def _looks_at_hessian(lane: Lane) -> list[tuple[int, float]]:
    """(steps between two looks, price of a look); every cadence of the sharpness has an eigenvector of its own."""
    tops = [(every, SHARPNESS_LOOK) for name, every in keys_of(lane.policy) if name == "sharpness"]
    return tops + [(every, CURVATURE_LOOK) for every in _looks_at(lane, "curvature")]
