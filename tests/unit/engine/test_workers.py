"""Worker processes: the loop's outcomes, in any number of processes; a worker that dies is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import EtastarError, Lane, Problem
from etastar.engine import LoopEngine, WorkerEngine
from etastar.engine.workers import can_fork
from etastar.errors import UserCodeRaised


def lanes() -> list[Lane]:
    return [Lane(lr, seed, 20) for seed in (1, 2) for lr in (0.01, 0.1, 1e12)]


def comparable(outcomes):
    return [(i, o.status, o.steps, str([r.loss for r in o.trace])) for i, o in sorted(outcomes, key=lambda x: x[0])]


def test_two_workers_give_the_loops_outcomes_for_a_problem_made_of_lambdas(small):
    with WorkerEngine(2) as engine:
        assert comparable(engine.train(small, lanes())) == comparable(LoopEngine().train(small, lanes()))


def descent(lr, seed, report):
    w = 1.0 + seed % 7
    while report(loss=w * w):
        w -= lr * 2 * w


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_fresh_workers_give_the_loops_outcomes_for_a_loop_of_the_users_own(workers):
    """Each imports torch anew, which takes 1.7 s of CPU."""
    own = Problem.from_loop(descent, steps=20, lr=0.1, loss_threshold=0.5)
    with WorkerEngine(workers) as engine:
        assert not can_fork(own, engine.engine)
        assert comparable(engine.train(own, lanes())) == comparable(LoopEngine().train(own, lanes()))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux only")
def test_copies_start_at_once_need_no_pickling_and_end_with_the_engine(small):
    lock = threading.Lock()  # cannot be pickled

    def loss(outputs, targets):
        with lock:
            return F.cross_entropy(outputs, targets)

    own = small.but(loss=loss)
    before = {process.pid for process in multiprocessing.active_children()}
    with WorkerEngine(2) as engine:
        assert can_fork(own, engine.engine)
        assert comparable(engine.train(own, lanes())) == comparable(LoopEngine().train(own, lanes()))
        started = {process.pid for process in multiprocessing.active_children()} - before
        assert len(started) == 2
    assert started.isdisjoint(process.pid for process in multiprocessing.active_children())


def test_a_killed_worker_is_replaced_and_its_lanes_are_run_again(data, tmp_path):
    marker = tmp_path / "killed"

    def model():
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.Linear(6, 3)

    problem = Problem(
        model=model,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=data,
        steps=20,
    )
    with WorkerEngine(1) as engine:
        outcomes = dict(engine.train(problem, lanes()[:3]))
    assert marker.exists() and len(outcomes) == 3


DEATHS = {
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), r"\(SIGKILL: out of memory\?\); try --workers 1"),
    "crashed": (lambda: os.kill(os.getpid(), signal.SIGSEGV), r"\(SIGSEGV: a crash in native code\); look for it"),
    "left": (lambda: os._exit(3), r"\(something called exit with code 3\); take that call out"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("die", "how"), DEATHS.values(), ids=DEATHS.keys())
def test_a_worker_that_always_dies_is_reported_in_a_sentence(data, die, how):
    parent = os.getpid()

    def model():
        if os.getpid() != parent:
            die()
        return nn.Linear(6, 3)

    problem = Problem(
        model=model, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1), loss=F.cross_entropy, train=data, steps=5
    )
    with WorkerEngine(1) as engine, pytest.raises(EtastarError, match=f"worker processes died 3 times in a row {how}"):
        list(engine.train(problem, lanes()[:1]))


@pytest.mark.slow
def test_a_users_error_in_a_worker_comes_back_as_the_same_sentence(data):
    def fail(outputs, targets):
        raise ValueError("my loss is broken")

    problem = Problem(
        model=lambda: nn.Linear(6, 3),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=fail,
        train=data,
        steps=5,
    )
    with WorkerEngine(1) as engine:
        [(_, outcome)] = engine.train(problem, lanes()[:1])
    with pytest.raises(
        UserCodeRaised, match=r"^your code raised ValueError: my loss is broken \(.*test_workers.py"
    ) as raised:
        outcome.require()
    assert "raise ValueError" in str(raised.value.__cause__), "the frames came along"
