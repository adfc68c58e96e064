"""Optimizers that find their rate, beside policies: against a plain loop; each runs; what cannot be had is said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from prodigyopt import Prodigy
from torch import nn

import etastar
from etastar import Criterion, Lane, Options, Problem, ProblemError
from etastar.core.lane import Until
from etastar.core.told import told
from etastar.engine.loop import LoopEngine
from etastar.policies.named import policy_over
from etastar.policies.schedule import Schedule
from etastar.verbs.answer import Made
from etastar.verbs.compare.compare import _made
from etastar.verbs.compare.lr_free import LR_FREE, LRFree

STEPS = 40
X = torch.linspace(-1, 1, 24).reshape(12, 2)
Y = X @ torch.tensor([[0.7], [-0.4]])


def net() -> nn.Module:
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, 0.1)
    nn.init.zeros_(model.bias)
    return model


@pytest.fixture
def problem() -> Problem:
    optimizer = lambda model: torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    return Problem(model=net, optimizer=optimizer, loss=nn.functional.mse_loss, train=(X, Y), batch_size=12, steps=STEPS)


def test_a_rival_trains_as_in_a_plain_loop(problem: Problem) -> None:
    answer = etastar.compare(problem, "prodigy", budget=12, options=Options(store=":memory:", workers=1))
    row = next(own for own in answer.compared if own.name == "prodigy")
    model = net()
    optimizer = Prodigy(model.parameters(), lr=1.0, weight_decay=0.01, safeguard_warmup=True, use_bias_correction=True)
    schedule, losses = Schedule(warmup=0.0, decay=1.0, curve="cosine").over(STEPS), []
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = schedule.rate(t, 1.0)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    ends = [o.end_loss for o in answer.runs if o.lane.policy == policy_over("cosine", STEPS)]
    assert ends == pytest.approx([sum(losses[-10:]) / 10] * 4, rel=1e-5)
    assert (row.peak, row.trainings, row.seeds, row.wrong_peaks[0].loss) == (1.0, 4, 4, None)
    assert answer.cost["gradient_steps"] == answer.runs.gradient_steps
    assert told(row)["policy"].startswith("LRFree(package='prodigyopt'")


def test_time_that_passed_for_all_sessions_counts_once() -> None:
    cost = {"gradient_steps": 10.0, "seconds": 5.0, "before_seconds": 1.0, "wall_runs": 2.0}
    made = lambda engine, seconds: Made(0, "SGD", cost | {"seconds": seconds}, ("flat",), engine=engine)
    sessions: Any = [
        SimpleNamespace(made=lambda *_, own=own: made(*own)) for own in (("mlp", 5.0), ("loop", 3.0), ("loop", 1.0))
    ]
    found = _made(sessions, 0, ())
    assert found.cost == {"gradient_steps": 30.0, "seconds": 5.0, "before_seconds": 3.0, "wall_runs": 2.0}
    assert (found.engine, found.flags) == ("mlp, loop", ("flat",))


@pytest.mark.parametrize("name", LR_FREE)
def test_each_learns_and_keeps_stdout_clean(name: str, problem: Problem, capsys) -> None:

    lane = Lane(1.0, 0, STEPS, Criterion(), Until.END)
    rival = LR_FREE[name].of(problem, 0.0)
    [(_, outcome)] = LoopEngine().train(rival, [lane])
    assert not outcome.broken
    assert capsys.readouterr().out == ""


def test_what_is_not_installed_is_refused_before_anything_is_trained(problem: Problem) -> None:
    mine = LRFree("nosuch-package", "nosuch:Adam")
    with pytest.raises(ProblemError, match=r"expected the package nosuch-package: pip install 'etastar\[lr-free\]'"):
        etastar.compare(problem, {"mine": mine}, budget=12, options=Options(store=":memory:"))


def test_a_loop_keeps_its_optimizer(problem: Problem) -> None:
    loop = Problem.from_loop(lambda lr, seed, report: None, steps=STEPS)
    with pytest.raises(ProblemError, match="can only be set where etastar makes the optimizer"):
        LR_FREE["dog"].of(loop)
