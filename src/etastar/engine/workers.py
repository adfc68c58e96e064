"""Worker processes: one single-threaded process per core, each with an engine of its own, gone when their parent is."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any

import cloudpickle
import torch
from loky.process_executor import ProcessPoolExecutor as FreshProcesses

from etastar import arguments
from etastar.core.deadline import Deadline, TimeOver, check_time, deadline
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.core.training import Shelf
from etastar.engine.lanes.engine import LaneEngine, shares
from etastar.engine.loop import LoopEngine
from etastar.errors import EtastarError, ProblemError, attributed

RETRIES = 2
CODES_WITHIN = 1.0
"""Seconds until a dead worker's exit code is known."""


class WorkerEngine:
    """Spreads lanes over `workers` processes, each running `engine`; same outcomes as `engine`.

    Where `can_fork`, a worker is a copy of this process and starts at once; elsewhere it is a fresh one, to which the
    problem travels once, by value (lambdas work). A worker that dies (out of memory, a crash in native code) is replaced
    and its lanes are run again, at most `RETRIES` times.

    Args:
        workers: processes.
        engine: what each of them runs; default the reference loop.
    """

    def __init__(self, workers: int, engine: LoopEngine | LaneEngine | None = None) -> None:
        arguments.WORKERS("workers", workers)
        self.workers, self.engine = workers, engine or LoopEngine()
        self._executor: ProcessPoolExecutor | FreshProcesses | None = None
        self._problem: Problem | None = None
        self.shelf: Shelf | None = None

    @property
    def name(self) -> str:
        """The name of the engine within: the outcomes are the same."""
        return self.engine.name

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) as lanes finish."""
        missing = dict(enumerate(lanes))
        for attempt in range(RETRIES + 1):
            try:
                executor = self._start(problem)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)  # see `can_fork`
                    futures = [
                        executor.submit(_train, lanes, self.shelf, deadline())
                        for lanes in shares(missing, self.engine.chunk, self.workers)
                    ]
                for future in as_completed(futures):
                    for index, outcome in future.result():
                        del missing[index]
                        yield index, outcome
                if missing:
                    raise TimeOver
                return
            except TimeOver:
                raise  # the workers have ended their lanes, and stay
            except BrokenProcessPool as error:
                how = death_in_words(self._exit_codes(error))
                self.close()
                if attempt == RETRIES:
                    raise EtastarError(f"worker processes died {attempt + 1} times in a row {how}") from None
            except BaseException:
                self.close()
                raise

    def _start(self, problem: Problem) -> ProcessPoolExecutor | FreshProcesses:
        if self._executor is None or self._problem is not problem:
            self.close()
            self._executor = self._copies(problem) if can_fork(problem, self.engine) else self._fresh(problem)
            self._problem = problem
        return self._executor

    def _copies(self, problem: Problem) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.workers,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_become_worker,
            initargs=(os.getpid(), problem, self.engine),
        )

    def _fresh(self, problem: Problem) -> FreshProcesses:
        try:
            blob = cloudpickle.dumps((problem, self.engine))
        except Exception as error:
            raise ProblemError(
                f"the problem cannot be sent to worker processes ({type(error).__name__}: {error}); use --workers 1"
            ) from error
        return FreshProcesses(self.workers, initializer=_become_fresh_worker, initargs=(os.getpid(), blob))

    def _exit_codes(self, error: BrokenProcessPool) -> list[int]:
        """Of the workers that died by themselves; those ended because of them (SIGTERM) are left out."""
        executor = self._executor
        if not isinstance(executor, ProcessPoolExecutor):
            return [int(code) for code in re.findall(r"\((-?\d+)\)", str(error))]  # loky says them
        processes, codes = list((executor._processes or {}).values()), []
        until = time.monotonic() + CODES_WITHIN
        while not codes and time.monotonic() < until:
            codes = [code for p in processes if (code := p.exitcode) not in (None, 0, -signal.SIGTERM)]
            time.sleep(0.01)
        return codes

    def close(self) -> None:
        """End the workers."""
        executor, self._executor, self._problem = self._executor, None, None
        if isinstance(executor, ProcessPoolExecutor):
            for process in list((executor._processes or {}).values()):
                process.kill()
            executor.shutdown(wait=True, cancel_futures=True)
        elif executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def __enter__(self) -> WorkerEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def death_in_words(codes: Sequence[int]) -> str:
    """How a worker died, from exit codes (negative: the signal), and what to do.

    >>> death_in_words([-11])
    '(SIGSEGV: a crash in native code); look for it by training once in an ordinary script'
    """
    code = next(iter(codes), -signal.SIGKILL)
    if code >= 0:
        return f"(something called exit with code {code}); take that call out of model, loss and data"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGKILL:
        return f"({name}: out of memory?); try --workers 1"
    return f"({name}: a crash in native code); look for it by training once in an ordinary script"


def can_fork(problem: Problem, engine: LoopEngine | LaneEngine) -> bool:
    """Whether workers may be copies of this process, in milliseconds instead of the seconds torch takes to import.

    On Linux, as torch's own DataLoader does it, with one thread in each copy. Not with CUDA, which does not survive a fork,
    nor for a training loop of the user's own, which may start threads.
    """
    ours = sys.platform == "linux" and not problem.is_loop
    return ours and not engine.device.startswith("cuda") and not torch.cuda.is_initialized()


_worker: dict[str, Any] = {}


def _become_worker(parent: int, problem: Problem, engine: LoopEngine | LaneEngine) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # what the parent opened (its database) is never closed from here
    torch.set_num_threads(1)
    exit_with(parent)
    _worker["problem"], _worker["engine"] = problem, engine


def _become_fresh_worker(parent: int, blob: bytes) -> None:
    _become_worker(parent, *cloudpickle.loads(blob))


def exit_with(parent: int) -> None:
    """End this process soon after its parent did, whatever it is doing."""
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@attributed  # here, where the frames are: they do not travel
def _train(lanes: dict[int, Lane], shelf: Shelf | None, until: Deadline) -> list[tuple[int, Outcome]]:
    index, engine = list(lanes), _worker["engine"]
    engine.shelf = shelf
    return [(index[i], outcome) for i, outcome in trained_until(until, engine, _worker["problem"], list(lanes.values()))]


def trained_until(
    until: Deadline, engine: LoopEngine | LaneEngine, problem: Problem, lanes: Sequence[Lane]
) -> list[tuple[int, Outcome]]:
    """(index, outcome) of the lanes that end in time."""
    found: list[tuple[int, Outcome]] = []
    with until.held(), suppress(TimeOver):
        check_time()
        for each in engine.train(problem, lanes):
            found.append(each)
    return found
