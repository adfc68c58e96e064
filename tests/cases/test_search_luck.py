"""A search answers with what its best trials are worth on fresh seeds, not with the luckiest of many."""

from __future__ import annotations

import statistics
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import etastar
from etastar.designs.search.optuna_samplers import SAMPLERS

MEMORY = etastar.Options(store=":memory:", workers=1)
PLATEAU = {"lr": {"low": 0.1, "high": 0.4}}
"""Rates that differ by less than the seeds do."""


def noisy(steps: int = 40) -> etastar.Problem:
    """Small batches, few steps, a third of the labels flipped: a loss that is mostly the seed's."""
    g = torch.Generator().manual_seed(3)
    x = torch.randn(400, 10, generator=g)
    y = (x[:, 0] + 2 * torch.randn(400, generator=g) > 0).long()
    return etastar.Problem(
        model=lambda: nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2)),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.2),
        loss=nn.functional.cross_entropy,
        train=(x[:200], y[:200]),
        valid=(x[200:], y[200:]),
        batch_size=4,
        steps=steps,
    )


def by_hand(problem: etastar.Problem, lr: float, seed: int) -> float:
    """An ordinary loop on a seed that no search has seen."""
    torch.manual_seed(1000 + seed)
    model = problem.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x, y = problem.train
    order = torch.cat([torch.randperm(len(x)) for _ in range(10)])
    for step in range(problem.steps):
        rows = order[4 * step : 4 * step + 4]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(problem.valid[0]), problem.valid[1]))


def test_the_loss_quoted_is_that_of_fresh_trainings_and_the_trials_own_is_shown_beside_it():
    problem = noisy()
    answer = etastar.search(problem, sampler="random", trials=24, space=PLATEAU, options=MEMORY)
    best = answer.best
    assert best is not None and best.confirmed
    truth = statistics.fmean(by_hand(problem, best.lr, seed) for seed in range(30))
    low, high = best.interval
    assert low <= truth <= high
    assert abs(best.loss - truth) < abs(best.trial.loss - truth)
    row = answer.to_json()["best"]
    assert (row["loss"], row["trial_loss"]) == (best.loss, best.trial.loss)
    assert f"on 3 fresh seeds, {best.trial.loss:.4g} in its trial" in answer.summary


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_every_printed_loss_is_the_mean_of_its_lanes(sampler):
    answer = etastar.search(noisy(12), sampler=sampler, trials=6, space=PLATEAU, options=MEMORY)
    assert len(answer.finalists) == 3
    of_trials = len(answer.trials)
    for finalist in answer.finalists:
        own = [o for o in answer.runs[of_trials:] if o.lane.lr == finalist.lr]
        assert finalist.losses == tuple(o.valid_loss for o in own)
        assert finalist.loss == pytest.approx(statistics.fmean(o.valid_loss for o in own))
        assert finalist.trial.loss == answer.runs[finalist.number].valid_loss
        assert finalist.steps == sum(o.steps for o in own)
    searched = {o.lane.seed for o in answer.runs[:of_trials]}
    assert not searched & {o.lane.seed for o in answer.runs[of_trials:]}
    assert answer.cost["gradient_steps"] == answer.runs.gradient_steps


def test_several_parameters_and_seeds_are_confirmed_as_they_were_searched():
    space = {**PLATEAU, "momentum": {"low": 0.0, "high": 0.5}, "batch_size": {"choices": [4, 8]}}
    answer = etastar.search(noisy(12), trials=8, space=space, seeds=4, options=MEMORY)
    for finalist in answer.finalists:
        assert len(finalist.losses) == 4 and finalist.params == answer.trials[finalist.number].params
    lanes = [o.lane for o in answer.runs[-3 * 4 :]]
    assert {lane.settings for lane in lanes} == {
        (("momentum", f.params["momentum"]), ("batch_size", f.params["batch_size"])) for f in answer.finalists
    }


@pytest.mark.parametrize(
    ("limit", "trials", "flags"),
    [(40, 8, set()), (12, 4, {"search-stopped"}), (3, 4, {"search-stopped", "unconfirmed"})],
    ids=["time enough", "time for some trials and the confirmation", "no time for the confirmation"],
)
def test_a_time_limit_leaves_the_confirmation_its_share_or_the_answer_says_that_there_was_none(
    monkeypatch, limit, trials, flags
):
    """A lane takes a second of a clock of our own; trials come four at a time."""
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("etastar.verbs.workplace.time", clock)

    def tick(outcome: etastar.Outcome, new: bool) -> None:
        now[0] += 1.0

    options = etastar.Options(store=":memory:", workers=1, max_seconds=limit, on_outcome=tick)
    answer = etastar.search(noisy(12), trials=8, batch=4, space=PLATEAU, options=options)
    assert len(answer.trials) == trials
    assert {"search-stopped", "unconfirmed"} & set(answer.flags) == flags
    assert answer.best is not None and answer.best.confirmed is ("unconfirmed" not in flags)
    if "unconfirmed" in flags:
        assert "not confirmed on fresh seeds" in answer.summary
        assert "unconfirmed" in answer.lr.flags and answer.best.number == min(answer.trials, key=lambda t: t.loss).number


def test_a_rate_that_breaks_off_on_fresh_seeds_is_no_answer():
    """A model of which most seeds fail: where a trial trained at all, that was its seed."""
    searched: list[int] = []

    def train(lr: float, seed: int, report) -> None:
        if lr >= 0.09:  # not what is tried out before the search
            searched.append(seed)
        w, lucky = 1.0, not searched or seed == searched[0]
        for _ in range(12):
            if not report(loss=w * w):
                return
            w *= abs(1 - lr) if lucky else 3e4

    problem = etastar.Problem.from_loop(train, steps=12, lr=0.2, loss_threshold=0.5)
    answer = etastar.search(problem, sampler="random", trials=6, space=PLATEAU, options=MEMORY)
    assert answer.lr.status is etastar.Status.DIVERGED_EVERYWHERE
    assert "failed on some fresh seed (18 of 18 lanes)" in answer.lr.reason
    assert answer.best is None and all(not f.confirmed for f in answer.finalists)
    assert answer.to_json()["best"] is None
