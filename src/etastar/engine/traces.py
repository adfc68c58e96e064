"""The fixed lane whose first losses are a problem's signature in numbers, and how long its steps take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch

from etastar.core.lane import Criterion, Lane, Until
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.engine.loop import LoopEngine
from etastar.engine.step_time import median_step, timed_steps
from etastar.engine.user_loop import follow
from etastar.errors import ProblemError

TRACE_LR = 1e-3
Told = Callable[[float], None]
"""Called as soon as a step has been timed, with its seconds."""
Traced = tuple[tuple[float, ...], tuple[float, ...], float]
"""The trace; what must be its beginning if the problem is reproducible; seconds of a step."""


def traced(problem: Problem, criterion: Criterion, device: str, told: Told) -> Traced:
    """In float64, with the validation loss at its end; once more without; and the steps of another lane timed."""
    dtype, trace = _first_trace(problem, criterion, device)
    again = _trace(_bare(problem), criterion, device, dtype)
    seconds = seconds_per_step(problem, criterion, device)
    told(seconds)
    return trace, again, seconds


def traced_large(problem: Problem, criterion: Criterion, device: str, told: Told) -> Traced:
    """In the model's own type, without its validation data, three steps in all."""
    losses: list[float] = []
    times: list[float] = []
    for steps in (2, 1):
        for seconds, loss in timed_steps(LoopEngine(device), _bare(problem), replace(trace_lane(criterion), steps=steps)):
            if not times:
                told(seconds)
            times.append(seconds)
            losses.append(loss)
    return tuple(losses[:2]), tuple(losses[2:]), statistics.median(times)


def _bare(problem: Problem) -> Problem:
    return problem if problem.valid is None else problem.but(valid=None)


def _trace(problem: Problem, criterion: Criterion, device: str, dtype: torch.dtype | None = None) -> tuple[float, ...]:
    """Losses of the first two steps of a fixed lane, then its loss on the validation data, where there are any."""
    lane = trace_lane(criterion)
    outcome = LoopEngine(device, dtype).train_lane(problem, lane).require()
    valid = () if outcome.valid_loss is None else (outcome.valid_loss,)
    return (*(row.loss for row in outcome.trace), *valid)


def trace_lane(criterion: Criterion) -> Lane:
    """That lane."""
    return Lane(TRACE_LR, derive_seed(0, "trace"), 2, criterion, Until.END)


def loop_trace(problem: Problem, criterion: Criterion) -> tuple[tuple[float, ...], bool]:
    """The same of a user's own loop, and whether it asked for its length or its rate."""
    lane = trace_lane(criterion)
    with steady_numerics():
        outcome, asked = follow(problem, lane)
    return tuple(row.loss for row in outcome.require().trace), asked


def _first_trace(problem: Problem, criterion: Criterion, device: str) -> tuple[torch.dtype | None, tuple[float, ...]]:
    """In float64, unless the model insists on its own type."""
    try:
        return torch.float64, _trace(problem, criterion, device, torch.float64)
    except ProblemError:
        return None, _trace(problem, criterion, device)


def seconds_per_step(problem: Problem, criterion: Criterion, device: str, steps: int = 8) -> float:
    """Wall time of one step of the reference loop; see `median_step`."""
    return median_step(LoopEngine(device), _bare(problem), Lane(TRACE_LR, derive_seed(0, "timing"), steps, criterion))


def same(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two of them are equal up to rounding."""
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=1e-9) or x == y for x, y in zip(a, b, strict=True))
