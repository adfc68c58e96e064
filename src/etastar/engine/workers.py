"""Worker processes: one single-threaded process per core, each with an engine of its own, gone when their parent is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any

import cloudpickle
from loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.lanes.engine import LaneEngine, shares
from etastar.engine.loop import LoopEngine
from etastar.errors import EtastarError, ProblemError

RETRIES = 2


class WorkerEngine:
    """Spreads lanes over `workers` processes, each running `engine`; same outcomes as `engine`.

    The problem travels once per worker, by value (lambdas work). A worker that dies (out of memory, a crash in native
    code) is replaced and its lanes are run again, at most `RETRIES` times.

    Args:
        workers: processes.
        engine: what each of them runs; default the reference loop.
    """

    def __init__(self, workers: int, engine: LoopEngine | LaneEngine | None = None) -> None:
        self.workers, self.engine = workers, engine or LoopEngine()
        self._executor: ProcessPoolExecutor | None = None
        self._problem: Problem | None = None

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
                futures = [executor.submit(_train, lanes) for lanes in shares(missing, self.engine.chunk, self.workers)]
                for future in as_completed(futures):
                    for index, outcome in future.result():
                        del missing[index]
                        yield index, outcome
                return
            except TerminatedWorkerError:
                self.close()
                if attempt == RETRIES:
                    raise EtastarError(
                        f"worker processes died {attempt + 1} times in a row (out of memory?); try --workers 1"
                    ) from None
            except BaseException:
                self.close()
                raise

    def _start(self, problem: Problem) -> ProcessPoolExecutor:
        if self._executor is None or self._problem is not problem:
            self.close()
            try:
                blob = cloudpickle.dumps((problem, self.engine))
            except Exception as error:
                raise ProblemError(
                    f"the problem cannot be sent to worker processes ({type(error).__name__}: {error}); use --workers 1"
                ) from error
            self._executor = ProcessPoolExecutor(
                max_workers=self.workers, initializer=_become_worker, initargs=(os.getpid(), blob)
            )
            self._problem = problem
        return self._executor

    def close(self) -> None:
        """End the workers."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = self._problem = None

    def __enter__(self) -> WorkerEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_worker: dict[str, Any] = {}


def _become_worker(parent: int, blob: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    exit_with(parent)
    _worker["problem"], _worker["engine"] = cloudpickle.loads(blob)


def exit_with(parent: int) -> None:
    """End this process soon after its parent did, whatever it is doing."""
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _train(lanes: dict[int, Lane]) -> list[tuple[int, Outcome]]:
    index = list(lanes)
    return [(index[i], outcome) for i, outcome in _worker["engine"].train(_worker["problem"], list(lanes.values()))]
