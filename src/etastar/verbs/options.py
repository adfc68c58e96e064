"""How a verb runs, as users say it: store, workers, device, engine, limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from etastar import arguments
from etastar.core.lane import Outcome
from etastar.core.problem import Problem
from etastar.engine.choice import ENGINES
from etastar.errors import ProblemError, redacted
from etastar.store.run_store import DEFAULT_URL

PLACES = ("here", "ray")


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
        max_seconds: answer within this time, with what is there by then.
        since: where that time began, of `time.monotonic()`; None: at the verb's start.
        on_plan: called once with (sentence, lanes at most) before anything is trained.
        on_note: called with sentences about what is going on before that: what a step takes, what that makes of a run.
        on_outcome: called with every outcome and whether it was trained now (False: it was stored).
    """

    store: str | os.PathLike[str] = DEFAULT_URL
    workers: int | None = None
    device: str = "auto"
    engine: str = "auto"
    on: str = "here"
    ray_address: str | None = None
    max_seconds: float | None = None
    since: float | None = None
    on_plan: Callable[[str, int], None] | None = None
    on_outcome: Callable[[Outcome, bool], None] | None = None
    on_note: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        arguments.path("store", self.store, ".etastar/runs.db")
        arguments.word("engine", self.engine, ENGINES)
        arguments.word("on", self.on, PLACES)
        if self.workers is not None:
            (arguments.WORKERS_ON_RAY if self.on == "ray" else arguments.WORKERS)("workers", self.workers)
        if self.max_seconds is not None:
            arguments.MAX_SECONDS("max_seconds", self.max_seconds)
        called = {"on_plan": ("sentence", "lanes"), "on_outcome": ("outcome", "new"), "on_note": ("sentence",)}
        for name, given in called.items():
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
