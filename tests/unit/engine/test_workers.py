"""Worker processes: the loop's outcomes, in any number of processes; a worker that dies is replaced."""

from __future__ import annotations

import os
import signal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import EtastarError, Lane, LoopEngine, Problem, ProblemError, WorkerEngine


def lanes() -> list[Lane]:
    return [Lane(lr, seed, 20) for seed in (1, 2) for lr in (0.01, 0.1, 1e12)]


def comparable(outcomes):
    return [(i, o.status, o.steps, str([r.loss for r in o.trace])) for i, o in sorted(outcomes, key=lambda x: x[0])]


def test_two_workers_give_the_loops_outcomes_for_a_problem_made_of_lambdas(small):
    with WorkerEngine(2) as engine:
        assert comparable(engine.train(small, lanes())) == comparable(LoopEngine().train(small, lanes()))


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


@pytest.mark.slow
def test_a_worker_that_always_dies_is_reported_in_a_sentence(data):
    parent = os.getpid()

    def model():
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.Linear(6, 3)

    problem = Problem(
        model=model, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1), loss=F.cross_entropy, train=data, steps=5
    )
    with WorkerEngine(1) as engine, pytest.raises(EtastarError, match="worker processes died 3 times"):
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
    with WorkerEngine(1) as engine, pytest.raises(ProblemError, match="the loss raised ValueError: my loss is broken"):
        list(engine.train(problem, lanes()[:1]))
