"""What every measuring verb needs around its designs: a checked problem, a store that knows it, and an engine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from etastar import arguments
from etastar.core.design import Design, Plan, Store, run
from etastar.core.lane import Runs
from etastar.core.problem import Problem
from etastar.engine.choice import ENGINES, Choice, choose
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import Preflight, preflight
from etastar.engine.ray.cluster import RayEngine
from etastar.engine.ray.connection import check_address
from etastar.engine.validation import cost_of, on_a_part
from etastar.engine.workers import WorkerEngine, can_fork
from etastar.errors import ProblemError, StoreError
from etastar.store.database import check
from etastar.store.fingerprint import fingerprint
from etastar.store.run_store import RunStore
from etastar.verbs.options import Options
from etastar.version import __version__

Answer = TypeVar("Answer")
WORTH_COPIES, WORTH_WORKERS = 1.0, 10.0
"""Seconds of expected work above which worker processes pay for their start: copies of this process, and fresh ones (torch
takes 1-2 s to import in each)."""
USUAL_SHARE = 1 / 3
"""Share of the planned gradient steps a search usually takes: decided lanes stop early."""


@dataclass
class Session:
    """A checked problem with its store and engine; runs designs and counts what they cost."""

    problem: Problem
    facts: Preflight
    choice: Choice
    store: RunStore
    engine: LoopEngine | LaneEngine | WorkerEngine | RayEngine
    options: Options
    started: float
    runs: Runs
    lanes: int
    """Lanes that may be asked for, at most."""

    def run(self, design: Design[Answer], store: Store | None = None, share: float = 1.0) -> Answer:
        """Run one design within what is left of the time limit, or of a `share` of it.

        `store` may stand in front of the session's.
        """
        limit = self.options.max_seconds
        left = None if limit is None else max(share * limit - (time.monotonic() - self.started), 0.0)

        def keep(outcomes: Runs) -> None:
            self.runs = self.runs + outcomes
            if any(o.valid_loss is not None and on_a_part(self.problem, o.lane) for o in outcomes):
                self.facts = replace(self.facts, flags=tuple(dict.fromkeys((*self.facts.flags, "validated-on-part"))))

        return run(design, self.problem, self.engine, store or self.store, max_seconds=left, progress=keep)

    def engine_for(self, problem: Problem, choice: Choice) -> LoopEngine | LaneEngine | WorkerEngine | RayEngine:
        """An engine for another problem, in the same place: this process, as many workers, the same cluster."""
        engine = choice.build(self.options.device)
        if isinstance(self.engine, RayEngine):
            return RayEngine(engine, self.options.ray_address, at_once=self.options.workers)
        if isinstance(self.engine, WorkerEngine) and (self.options.workers or can_fork(problem, engine)):
            return WorkerEngine(self.engine.workers, engine)
        return engine

    def cost(self) -> dict[str, float]:
        """What the designs run so far cost; `validation_steps` are forward passes, counted as a third of a step each."""
        steps, validation = self.runs.gradient_steps, cost_of(self.problem, self.runs)
        return {
            "gradient_steps": steps,
            "new_gradient_steps": self.store.new_gradient_steps,
            "validation_steps": validation,
            "full_runs": (steps + validation) / self.problem.steps,
            "seconds": time.monotonic() - self.started,
        }


@contextmanager
def open_session(
    problem: Problem,
    options: Options,
    plan: Callable[[Preflight], Plan],
    usual: float = USUAL_SHARE,
    note: str = "",
) -> Iterator[Session]:
    """Check `problem`, say what it will cost, open the store and start the engine; everything is closed at the end.

    Args:
        plan: what the designs take at most, from what the preflight found.
        usual: share of those steps that is usually taken.
        note: what else the sentence of the plan says.
    """
    started = time.monotonic()
    if options.on == "ray":
        check_address(options.ray_address)
    check(options.store)
    facts = preflight(problem, options.device)
    store = RunStore(options.store)
    try:
        planned = plan(facts)
        lanes, steps = planned.lanes, planned.steps
        register(problem, facts, store)
        store.on_outcome = options.on_outcome
        choice = choice_for(problem, facts, options, store, lanes)
        seconds = steps * (choice.seconds_per_step or facts.seconds_per_step)
        built = choice.build(options.device)
        with _spread(problem, built, options, seconds * usual, lanes) as (engine, where, at_once):
            if options.on_plan:
                often = " (usually a third of it)" if usual == USUAL_SHARE else ""
                takes = f"at most about {_duration(seconds / at_once)} {where} ({choice.sentence()}){often}"
                options.on_plan(
                    f"at most {lanes} lanes and {steps:,} gradient steps = {steps / problem.steps:.3g} full runs of "
                    f"{problem.steps:,} steps, {takes}{note}",
                    lanes,
                )
            yield Session(problem, facts, choice, store, engine, options, started, Runs(), lanes)
    finally:
        store.close()


def register(problem: Problem, facts: Preflight, store: RunStore) -> str:
    """Tell the store which problem this is; returns its id there."""
    identity = {
        "optimizer": facts.optimizer,
        "defaults": {k: repr(v) for k, v in facts.defaults.items()},
        "multipliers": [g.multiplier for g in facts.groups],
        "shapes": facts.shapes,
    }
    digest = fingerprint(problem, identity, __version__)
    return store.register(problem, digest, facts.trace, identity, reusable=facts.reproducible)


def environment() -> dict[str, Any]:
    """Where a measurement was made."""
    return {
        "etastar": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def choice_for(problem: Problem, facts: Preflight, options: Options, store: RunStore, lanes: int) -> Choice:
    """The engine asked for; or the one this problem's lanes were trained by before; or the winner of a short trial.

    An engine that was chosen for fewer lanes stays, and is tried with more of them together.
    """
    pinned = store.pinned_engine(problem, options.device) if options.engine == "auto" else None
    before = None if pinned is None else _choice_of(pinned, store)
    if before is not None and before.fits(lanes, options.device):
        return before
    try:
        choice = choose(
            problem,
            facts.criterion,
            engine=options.engine if before is None else before.engine,
            device=options.device,
            reproducible=facts.reproducible,
            loop_seconds=facts.seconds_per_step,
            at_most=lanes,
            processes=options.workers or os.cpu_count() or 1,
        )
    except ProblemError:
        if before is None:
            raise
        return before  # it trained the problem's lanes until now: memory is short, say
    if before is not None:
        choice = replace(choice, refused=before.refused)
    if options.engine == "auto":
        pinned = store.pin_engine(problem, options.device, choice.engine, choice.chunk, choice.to_json())
        return _choice_of(pinned, store)  # another process may have been first
    return choice


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


@contextmanager
def _spread(
    problem: Problem, engine: LoopEngine | LaneEngine, options: Options, seconds: float, lanes: int
) -> Iterator[tuple[LoopEngine | LaneEngine | WorkerEngine | RayEngine, str, int]]:
    """(`engine`, spread over processes or a cluster where asked for or worth it; where that is in words; lanes at once)."""
    worth = WORTH_COPIES if can_fork(problem, engine) else WORTH_WORKERS
    workers = 1 if options.on == "ray" else min(_workers(options, seconds, worth), max(lanes, 1))
    if options.on == "ray":
        with RayEngine(engine, options.ray_address, at_once=options.workers) as spread:
            yield spread, f"on {spread.place}", spread.slots
    elif workers > 1:
        with WorkerEngine(workers, engine) as spread:
            yield spread, f"in {workers} worker processes", workers
    else:
        yield engine, "in this process", 1


def _workers(options: Options, seconds: float, worth: float) -> int:
    if options.workers is not None:
        return options.workers
    if options.device != "cpu" or seconds <= worth:
        return 1
    return arguments.cores()


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
