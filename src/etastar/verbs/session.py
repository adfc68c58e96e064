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
from etastar.core.design import Design, Store, run
from etastar.core.lane import Outcome, Runs
from etastar.core.problem import Problem
from etastar.engine.choice import ENGINES, Choice, choose
from etastar.engine.lanes.engine import LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.preflight import Preflight, preflight
from etastar.engine.ray.cluster import RayEngine
from etastar.engine.ray.connection import check_address
from etastar.engine.validation import cost_of, on_a_part
from etastar.engine.workers import WorkerEngine, can_fork
from etastar.errors import ProblemError, StoreError, redacted
from etastar.store.database import check
from etastar.store.fingerprint import fingerprint
from etastar.store.run_store import DEFAULT_URL, RunStore
from etastar.version import __version__

Answer = TypeVar("Answer")
PLACES = ("here", "ray")
WORTH_COPIES, WORTH_WORKERS = 1.0, 10.0
"""Seconds of expected work above which worker processes pay for their start: copies of this process, and fresh ones (torch
takes 1-2 s to import in each)."""
USUAL_SHARE = 1 / 3
"""Share of the planned gradient steps a search usually takes: decided lanes stop early."""


@dataclass(frozen=True)
class Options:
    """How a verb runs; not what it measures.

    Args:
        store: where lanes are kept: a file path, "sqlite:///path", "postgresql+psycopg://user@host/database" or ":memory:".
        workers: worker processes; None: one per core if the planned work is worth it. On Ray: shards trained at
            once; None: as many as the cluster has CPUs.
        device: "cpu", "cuda", "cuda:1" ..., or "auto" (CUDA where there is one).
        engine: "auto" (chosen by a short trial), "loop", "sequential", "mlp", "convnet" or "vmap".
        on: "here" (this machine) or "ray" (lanes spread over a Ray cluster; the store stays here).
        ray_address: "host:port", "auto" or "ray://host:port"; None: RAY_ADDRESS, else a cluster of its own on this machine.
        max_seconds: stop asking for lanes after this time and answer with what is there.
        on_plan: called once with (sentence, lanes at most) before anything is trained.
        on_outcome: called with every outcome and whether it was trained now (False: it was stored).
    """

    store: str | os.PathLike[str] = DEFAULT_URL
    workers: int | None = None
    device: str = "auto"
    engine: str = "auto"
    on: str = "here"
    ray_address: str | None = None
    max_seconds: float | None = None
    on_plan: Callable[[str, int], None] | None = None
    on_outcome: Callable[[Outcome, bool], None] | None = None

    def __post_init__(self) -> None:
        arguments.path("store", self.store, ".etastar/runs.db")
        arguments.word("engine", self.engine, ENGINES)
        arguments.word("on", self.on, PLACES)
        if self.workers is not None:
            (arguments.WORKERS_ON_RAY if self.on == "ray" else arguments.WORKERS)("workers", self.workers)
        if self.max_seconds is not None:
            arguments.MAX_SECONDS("max_seconds", self.max_seconds)
        for name, given in (("on_plan", ("sentence", "lanes")), ("on_outcome", ("outcome", "new"))):
            if arguments.callable_or_none(name, getattr(self, name)) is not None:
                arguments.takes(name, getattr(self, name), given)
        if self.ray_address is not None:
            arguments.instance("ray_address", self.ray_address, str, "host:port, auto or ray://host:port")
        if self.ray_address is not None and self.on != "ray":
            raise ProblemError(
                f"a Ray address {redacted(self.ray_address)!r} is given but lanes train {self.on}; add --on ray or drop it"
            )
        object.__setattr__(self, "device", _device(self.device))
        if self.on == "ray" and ":" in self.device:
            raise ProblemError(f"device is {arguments.shown(self.device)} but Ray hands out the GPUs of its nodes; use cuda")


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
    plan: Callable[[Preflight], tuple[int, int]],
    usual: float = USUAL_SHARE,
    note: str = "",
) -> Iterator[Session]:
    """Check `problem`, say what it will cost, open the store and start the engine; everything is closed at the end.

    Args:
        plan: (lanes at most, gradient steps at most), from what the preflight found.
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
        lanes, steps = plan(facts)
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


def asked(problem: Problem, seed: int | None, options: Options | None) -> tuple[int, Options]:
    """The seed and the options of a verb: those given, or the problem's seed and the defaults.

    Raises:
        ProblemError: one of the three is something else.
    """
    if not isinstance(problem, Problem):
        raise ProblemError(f"got a {type(problem).__name__}; expected an etastar.Problem")
    if options is not None:
        arguments.instance("options", options, Options, "an etastar.Options, e.g. etastar.Options(workers=2)")
    return problem.seed if seed is None else arguments.SEED("seed", seed), options or Options()


def _device(name: Any) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":") if isinstance(name, str) else ("", "", "")
    if name not in ("cpu", "cuda") and not (kind == "cuda" and index.isdecimal() and index.isascii()):
        raise ProblemError(f"device is {arguments.shown(name)}; expected auto, cpu, cuda or cuda:N")
    if kind == "cuda":
        found = torch.cuda.device_count()
        if found <= int(index or 0):
            raise ProblemError(f"device is {arguments.shown(name)} but torch sees {found} CUDA devices; use another, or cpu")
    return name


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
