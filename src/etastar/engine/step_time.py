"""How long a step of a lane takes: the median, which neither the first steps nor a busy moment moves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from etastar.core.lane import Lane
from etastar.core.problem import Problem
from etastar.engine.loop import LoopEngine

Clock = Callable[[], float]


def timed_steps(
    engine: LoopEngine, problem: Problem, lane: Lane, clock: Clock = time.perf_counter
) -> Iterator[tuple[float, float]]:
    """(seconds, loss before it) of each step of a lane, as they are taken; a lane that is decided early takes no more.

    Raises:
        UserCodeRaised: the user's code raised.
    """
    with engine.start(problem, [lane]) as training:
        while training.undecided:
            began = clock()
            decided = training.advance(1)
            seconds = clock() - began
            for _, outcome in decided:
                outcome.require()
            yield seconds, training.last_loss(0)


def median_step(engine: LoopEngine, problem: Problem, lane: Lane, clock: Clock = time.perf_counter) -> float:
    """Seconds of a step: the median over a short lane, its set-up and its first step (where there are others) apart.

    In a training loop of the user's own, which cannot be stepped from outside: of all of the lane, over its steps.
    """
    if problem.is_loop:
        outcome = engine.train_lane(problem, lane).require()
        return outcome.seconds / max(outcome.steps, 1)
    times = [seconds for seconds, _ in timed_steps(engine, problem, lane, clock)]
    return statistics.median(times[1:] or times)
