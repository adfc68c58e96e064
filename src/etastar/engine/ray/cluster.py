"""Lanes over a Ray cluster: the same engine in every task, lost shards trained again, outcomes delivered to one driver."""

from __future__ import annotations

import os
import sys
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import torch

from etastar.core.deadline import Deadline, TimeOver, deadline
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.lanes.engine import LaneEngine, shares
from etastar.engine.loop import LoopEngine
from etastar.engine.ray.connection import Connection, check_address
from etastar.engine.workers import exit_with, trained_until
from etastar.errors import EarlierTraceback, EtastarError, ProblemError, attributed, in_one_line
from etastar.version import __version__

LOSSES = 3
"""Times one shard may be lost with its worker or node before it is the shard's own fault."""
LOOK_EVERY = 2.0
"""Seconds after which a wait looks whether there is still anything to wait for."""
PATIENCE = 20.0
"""Seconds without a head, or any CPU (or GPU) alive, before the rest is given up."""
HOME = Path(__file__).parents[3]
"""Where this etastar was imported from."""


class RayEngine:
    """Spreads lanes over a Ray cluster, each shard a task that runs `engine`; same outcomes as `engine`.

    A shard is what the engine trains at once, or less, so that every CPU gets some. The problem travels once per worker, by
    value. A shard lost with its worker or node is trained again elsewhere, at most `LOSSES` times; nothing else is.

    Args:
        engine: what each task runs; default the reference loop. On "cuda" each task gets a GPU of its own.
        address: "host:port", "auto" (the cluster on this machine), "ray://host:port"; None: RAY_ADDRESS, else a cluster of
            its own on this machine, gone with `close()`.
        at_once: shards trained at once, and CPUs of a cluster of its own; default as many as there are.

    Raises:
        MissingExtra: Ray is not installed.
        ProblemError: there is no such cluster, or it has nothing to train on.
    """

    def __init__(
        self, engine: LoopEngine | LaneEngine | None = None, address: str | None = None, *, at_once: int | None = None
    ) -> None:
        check_address(address)
        self.engine = engine or LoopEngine()
        self._gpus = 1 if self.engine.device.startswith("cuda") else 0
        self._at_once = at_once
        self._problem: Problem | None = None
        self._submit: Callable[[bytes], Any] | None = None
        self._connection = Connection(address, at_once)
        self._seen_alive = time.monotonic()
        if not self.slots:
            self.close()
            kind = "GPU" if self._gpus else "CPU"
            raise ProblemError(f"the Ray cluster has no {kind}; add a node with one, or drop --on ray")

    @property
    def name(self) -> str:
        """The name of the engine within: the outcomes are the same."""
        return self.engine.name

    @property
    def slots(self) -> int:
        """Shards that can train at once now."""
        _, cpus, gpus = self._connection.resources()
        free = min(cpus, gpus) if self._gpus else cpus
        return min(free, self._at_once or free)

    @property
    def place(self) -> str:
        """Where lanes train, in words."""
        nodes, cpus, gpus = self._connection.resources()
        counts = [(nodes, "node"), (cpus, "CPU"), *([(gpus, "GPU")] if self._gpus else [])]
        text = "Ray: " + ", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for n, kind in counts)
        return text + (f", {self._at_once} at once" if self._at_once else "")

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) as shards finish.

        Raises:
            EtastarError: a shard was lost too often, or the cluster has nothing left to train on.
            TimeOver: after what ended in time; shards count what is left of it from their start, as nodes' clocks differ.
        """
        import ray

        submit = self._start(problem)
        self._check_alive()
        parts = shares(dict(enumerate(lanes)), self.engine.chunk, max(self.slots, 1))
        waiting, left = deque(_Shard(part) for part in parts), len(lanes)
        most = self._at_once or (max(self.slots, 1) if deadline().seconds else sys.maxsize)  # none waits for a CPU, then
        running: dict[Any, _Shard] = {}
        try:
            while waiting or running:
                if deadline().over:
                    waiting.clear()  # those that run end by themselves, with what ended in time
                while waiting and len(running) < most:
                    shard = waiting.popleft()
                    running[submit(cloudpickle.dumps((shard.lanes, deadline().left)))] = shard
                done, _ = ray.wait(list(running), timeout=LOOK_EVERY) if running else ((), ())
                for ref in done:
                    shard = running.pop(ref)
                    found = _outcomes(ref)
                    if found is None:
                        waiting.appendleft(shard.lost())
                    else:
                        left -= len(found)
                        yield from found
                self._check_alive()
            if left:
                raise TimeOver
        finally:
            if running and self._connection.answers():
                for ref in running:
                    with suppress(Exception):  # the connection may be what failed
                        ray.cancel(ref, force=True)

    def _check_alive(self) -> None:
        """Give up a cluster that is gone; over calls of `train`, as Ray's own minute is. At once, if it is our own node."""
        if not self._connection.node_lives():
            raise EtastarError("this machine's Ray node died (out of memory?); run the same command again, or drop --on ray")
        if self._connection.answers() and self.slots:
            self._seen_alive = time.monotonic()
        elif time.monotonic() - self._seen_alive > PATIENCE:
            raise EtastarError(
                f"the Ray cluster is gone or has had nothing to train on for {PATIENCE:.0f} s; "
                "run the same command again once it is back"
            )

    def _start(self, problem: Problem) -> Callable[[bytes], Any]:
        """Send the problem; returns what submits a shard."""
        if self._submit is None or self._problem is not problem:
            import ray

            try:
                blob = cloudpickle.dumps((problem, self.engine))
            except Exception as error:
                raise ProblemError(
                    f"the problem cannot be sent to Ray ({type(error).__name__}: {error}); drop --on ray"
                ) from error
            parcel = {"key": uuid.uuid4().hex, "ref": ray.put(blob)}  # nested, so that only those who lack it fetch it
            task: Any = ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=0)(_task())
            self._submit = lambda lanes: task.remote(parcel, lanes)
            self._problem = problem
        return self._submit

    def close(self) -> None:
        """Disconnect; a cluster of its own ends."""
        self._submit = self._problem = None
        self._connection.close()

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Shard:
    """Lanes that travel together, by their index, and how often they were lost."""

    lanes: dict[int, Lane]
    losses: int = 0

    def lost(self) -> _Shard:
        if self.losses + 1 == LOSSES:
            raise EtastarError(
                f"the Ray workers that trained the same {len(self.lanes)} lanes died {LOSSES} times in a row "
                "(out of memory?); try fewer with --workers, or --engine loop"
            )
        return replace(self, losses=self.losses + 1)


def _outcomes(ref: Any) -> list[tuple[int, Outcome]] | None:
    """What a finished task found; None if it was lost with its worker, its node or the memory that held its result.

    Raises:
        Exception: whatever training raised there.
        EtastarError: the task could not run.
    """
    import ray
    from ray import exceptions as gone

    lost = (
        gone.WorkerCrashedError,
        gone.NodeDiedError,
        gone.ObjectLostError,
        gone.OutOfMemoryError,
        gone.LocalRayletDiedError,
    )
    try:
        result = cloudpickle.loads(ray.get(ref))
    except lost:
        return None
    except gone.RayError as error:
        why = in_one_line(getattr(error, "cause", None) or error)
        raise EtastarError(f"a Ray worker cannot run etastar: {why}; install the same etastar on every node") from error
    if isinstance(result, _Raised):
        raise result.error from EarlierTraceback(result.trace)
    return result


# -- what runs on a worker ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Raised:
    error: BaseException
    trace: str


def _task() -> Callable[..., bytes]:
    """The task. Local, so that it travels by value: a worker runs it before it knows where etastar is.

    This process's etastar goes first where a worker sees it (one machine, a shared file system), as two checkouts of one
    version are not the same code; the rest of this process's path goes last, for what the user's file imports.
    """
    home, paths, versions = str(HOME), [os.path.abspath(path) for path in sys.path], _versions()

    def etastar_lanes(parcel: dict[str, Any], lanes: bytes) -> bytes:
        import importlib.util
        import os
        import sys

        found = importlib.util.find_spec("etastar")
        if os.path.exists(home) and (found is None or not str(found.origin).startswith(home)):
            sys.path.insert(0, home)
        sys.path.extend(path for path in paths if path not in sys.path and os.path.exists(path))
        from etastar.engine.ray.cluster import train_shard

        return train_shard(parcel, lanes, versions)

    return etastar_lanes


_held: dict[str, tuple[Problem, LoopEngine | LaneEngine]] = {}
"""The problem this worker was last sent, with its engine."""


def train_shard(parcel: dict[str, Any], lanes: bytes, versions: dict[str, str]) -> bytes:
    """On a worker: train one shard. What training raises is part of the result; None: the problem did not arrive."""
    import ray
    from ray import exceptions

    try:
        if versions != _versions():
            raise EtastarError(
                f"a Ray node has {_listed(_versions())}, this process {_listed(versions)}; install the same on every node"
            )
        if parcel["key"] not in _held:
            if not _held:
                exit_with(os.getppid())  # the node's raylet: left alone a worker ends its lane first
            _held.clear()
            try:
                blob: Any = ray.get(parcel["ref"])
            except exceptions.ObjectLostError:  # a busy driver that did not answer in time counts as gone
                return cloudpickle.dumps(None)
            _held[parcel["key"]] = cloudpickle.loads(blob)
        problem, engine = _held[parcel["key"]]
        own, left = cloudpickle.loads(lanes)
        index, until = list(own), Deadline().within(left)
        result = [(index[i], outcome) for i, outcome in _train(until, engine, problem, list(own.values()))]
        return cloudpickle.dumps(result)
    except (Exception, SystemExit) as error:
        return cloudpickle.dumps(_Raised(_portable(error), traceback.format_exc()))


@attributed  # here, where the frames are: they do not travel
def _train(
    until: Deadline, engine: LoopEngine | LaneEngine, problem: Problem, lanes: Sequence[Lane]
) -> list[tuple[int, Outcome]]:
    return trained_until(until, engine, problem, lanes)


def _portable(error: BaseException) -> BaseException:
    """The exception as it will arrive, or in words where it would not."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        return EtastarError(in_one_line(error))
    return error


def _versions() -> dict[str, str]:
    """What must agree for two machines to give the same outcomes."""
    return {"etastar": __version__, "torch": torch.__version__}


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
