"""Worker processes over the reference loop: one single-threaded process per core, gone when their parent is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, as_completed
from typing import Any

import cloudpickle
from loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from etastar.core.errors import EtastarError, ProblemError
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.engine.loop import LoopEngine

RETRIES = 2


class WorkerEngine:
    """Spreads lanes over `workers` processes, each running `LoopEngine`; same outcomes as `LoopEngine`.

    The problem travels once per worker, by value (lambdas work). A worker that dies (out of memory, a crash in native
    code) is replaced and its lanes are run again, at most `RETRIES` times.
    """

    def __init__(self, workers: int, device: str = "cpu") -> None:
        self.workers, self.device = workers, device
        self._executor: ProcessPoolExecutor | None = None
        self._problem: Problem | None = None

    @property
    def name(self) -> str:
        """The loop's name: the outcomes are the same."""
        return LoopEngine(self.device).name

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) as lanes finish."""
        missing = dict(enumerate(lanes))
        for attempt in range(RETRIES + 1):
            futures: dict[Future[Outcome], int] = {}
            try:
                executor = self._start(problem)
                futures = {executor.submit(_train, lane): index for index, lane in missing.items()}
                for future in as_completed(futures):
                    outcome = future.result()
                    del missing[futures[future]]
                    yield futures[future], outcome
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
                blob = cloudpickle.dumps(problem)
            except Exception as error:
                raise ProblemError(
                    f"the problem cannot be sent to worker processes ({type(error).__name__}: {error}); use --workers 1"
                ) from error
            self._executor = ProcessPoolExecutor(
                max_workers=self.workers, initializer=_become_worker, initargs=(os.getpid(), blob, self.device)
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


def _become_worker(parent: int, blob: bytes, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    _worker["problem"] = cloudpickle.loads(blob)
    _worker["engine"] = LoopEngine(device)


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _train(lane: Lane) -> Outcome:
    return _worker["engine"].train_lane(_worker["problem"], lane)
