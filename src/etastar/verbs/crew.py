"""`Crew`: what trains a problem's lanes: an engine, chosen once, in this process, over workers or over a cluster."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

from etastar import arguments
from etastar.core.deadline import Deadline, TimeOver
from etastar.core.deadline import deadline as held
from etastar.core.design import Plan
from etastar.core.problem import Problem
from etastar.core.told import told
from etastar.engine.choice import ENGINES, Choice, choose, choose_quickly
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import Preflight
from etastar.engine.ray.cluster import RayEngine
from etastar.engine.workers import WorkerEngine, can_fork
from etastar.errors import ProblemError, StoreError
from etastar.store.run_store import RunStore
from etastar.verbs.options import Options

WORTH_COPIES, WORTH_WORKERS = 1.0, 10.0
"""Seconds of expected work above which worker processes pay for their start: copies of this process, and fresh ones (torch
takes 1-2 s to import in each)."""


TRIAL = 150
"""Steps of the loop that a whole trial is worth: 70 in float64, at twice the price, and a few of every engine."""
TRIAL_SHARE = 0.2
"""Share of the time limit that the trial of engines may take; then the loop trains the lanes. Small networks: 1 - 3 s."""
WORTH_TRIAL, SLOW_STEP = 800, 0.02
"""Planned steps below which a trial costs more than it can save, where a step takes so many seconds of a CPU: kernels gain
on what waits for its calls, which no such step does. A GPT of 4 x 128 (.043 s): the trial takes 28 s, 645 steps, where a
budget buys 240, and chooses one lane after the other."""


@dataclass(frozen=True)
class Crew:
    """What trains the lanes of one problem.

    Args:
        choice: of the engine.
        engine: that engine, spread over processes or a cluster where asked for or worth it.
        seconds_per_step: of one lane.
    """

    choice: Choice
    engine: LoopEngine | LaneEngine | WorkerEngine | RayEngine
    seconds_per_step: float

    @property
    def at_once(self) -> int:
        """Places where lanes train at the same time."""
        if isinstance(self.engine, RayEngine):
            return self.engine.slots
        return self.engine.workers if isinstance(self.engine, WorkerEngine) else 1

    @property
    def where(self) -> str:
        """The same in words."""
        if isinstance(self.engine, RayEngine):
            return f"on {self.engine.place}"
        return f"in {self.at_once} worker processes" if isinstance(self.engine, WorkerEngine) else "in this process"

    def rest(self) -> None:
        """End the worker processes; the next lanes start others. A cluster stays."""
        if isinstance(self.engine, WorkerEngine):
            self.engine.close()

    def close(self) -> None:
        """Let go of processes and cluster."""
        if isinstance(self.engine, (WorkerEngine, RayEngine)):
            self.engine.close()


def crew_for(
    problem: Problem, facts: Preflight, options: Options, store: RunStore, plan: Plan, usual: float, deadline: Deadline
) -> Crew:
    """The crew for what is planned, of which a share of `usual` is expected."""
    choice = choice_for(problem, facts, options, store, plan, deadline)
    each = choice.seconds_per_step or facts.seconds_per_step
    engine = choice.build(options.device)
    if options.on == "ray":
        return Crew(choice, RayEngine(engine, options.ray_address, at_once=options.workers), each)
    worth = WORTH_COPIES if can_fork(problem, engine) else WORTH_WORKERS
    workers = min(_workers(options, plan.steps * each * usual, worth), max(plan.lanes, 1))
    return Crew(choice, WorkerEngine(workers, engine) if workers > 1 else engine, each)


def crew_beside(
    crew: Crew, problem: Problem, facts: Preflight, options: Options, store: RunStore, plan: Plan, deadline: Deadline
) -> Crew:
    """The crew of another problem whose lanes train between: in as many workers, on the same cluster."""
    choice = choice_for(problem, facts, options, store, plan, deadline)
    each, engine = choice.seconds_per_step or facts.seconds_per_step, choice.build(options.device)
    if isinstance(crew.engine, RayEngine):
        return Crew(choice, RayEngine(engine, options.ray_address, at_once=options.workers), each)
    if isinstance(crew.engine, WorkerEngine) and (options.workers or can_fork(problem, engine)):
        return Crew(choice, WorkerEngine(crew.engine.workers, engine), each)
    return Crew(choice, engine, each)


def choice_for(
    problem: Problem, facts: Preflight, options: Options, store: RunStore, plan: Plan, deadline: Deadline
) -> Choice:
    """The engine asked for; or the one this problem's lanes were trained by before; or the winner of a short trial.

    Where there is no time for the trial it is the loop, until next time. An engine that was chosen for fewer lanes stays,
    and is tried with more of them together.
    """
    pinned = store.pinned_engine(problem, options.device) if options.engine == "auto" else None
    before = None if pinned is None else _choice_of(pinned, store)
    if before is not None and before.fits(plan.lanes, options.device):
        return before
    try:
        with deadline.within(TRIAL_SHARE * (deadline.seconds or math.inf)).held():
            choice = _tried(problem, facts, options, plan, options.engine if before is None else before.engine)
    except TimeOver:
        return before or Choice("loop")
    except ProblemError:
        if before is None:
            raise
        return before  # it trained the problem's lanes until now: memory is short, say
    if before is not None:
        choice = replace(choice, refused=before.refused)
    if options.engine == "auto":
        pinned = store.pin_engine(problem, options.device, choice.engine, choice.chunk, told(choice))
        return _choice_of(pinned, store)  # another process may have been first
    return choice


def _tried(problem: Problem, facts: Preflight, options: Options, plan: Plan, engine: str) -> Choice:
    dear = facts.large or TRIAL * facts.seconds_per_step > held().left or _is_too_dear(facts, options.device, plan)
    if dear and facts.reproducible and engine == "auto" and not problem.is_loop:
        return choose_quickly(problem, facts.criterion, options.device)
    return choose(
        problem,
        facts.criterion,
        engine=engine,
        device=options.device,
        reproducible=facts.reproducible,
        loop_seconds=facts.seconds_per_step,
        at_most=plan.lanes,
        processes=options.workers or os.cpu_count() or 1,
    )


def _is_too_dear(facts: Preflight, device: str, plan: Plan) -> bool:
    """Whether few steps of a large network are planned: trying engines would take longer than all of them."""
    return device == "cpu" and facts.seconds_per_step > SLOW_STEP and plan.steps < WORTH_TRIAL


def _choice_of(pinned: dict[str, Any], store: RunStore) -> Choice:
    """The choice that the store holds.

    Raises:
        StoreError: it holds none that etastar ever made.
    """
    try:
        choice = Choice.from_json(pinned)
    except (KeyError, TypeError, ValueError, AttributeError):
        choice = None
    if choice is None or choice.engine not in ENGINES or choice.engine == "auto":
        raise StoreError(
            f"the store {store.url} holds no engine of etastar ({pinned['engine']!r}) in table 'engine_choice'; "
            "restore a copy, or pass another --store"
        )
    return choice


def _workers(options: Options, seconds: float, worth: float) -> int:
    if options.workers is not None:
        return options.workers
    if options.device != "cpu" or seconds <= worth:
        return 1
    return arguments.cores()
