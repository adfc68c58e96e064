"""Searches that begin far from the best rate, on data whose first batch says little: answers are right, or refused."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Status
from etastar.core.lane import Criterion, Lane, LaneStatus, Until
from etastar.engine.lanes.engine import LaneEngine

OPTIONS = etastar.Options(store=":memory:", workers=1)
OPTIMIZERS = {
    "sgd": lambda lr: lambda m: torch.optim.SGD(m.parameters(), lr=lr),
    "rmsprop": lambda lr: lambda m: torch.optim.RMSprop(m.parameters(), lr=lr),
    "adam": lambda lr: lambda m: torch.optim.Adam(m.parameters(), lr=lr),
}


def blobs(n=600):
    g = torch.Generator().manual_seed(3)
    labels = torch.randint(3, (n,), generator=g)
    return 1.3 * torch.randn(3, 6, generator=g)[labels] + torch.randn(n, 6, generator=g), labels


def clusters(optimizer, lr, **changes):
    x, y = blobs()
    given = {
        "model": lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
        "optimizer": OPTIMIZERS[optimizer](lr),
        "loss": F.cross_entropy,
        "train": (x[:400], y[:400]),
        "valid": (x[400:], y[400:]),
        "batch_size": 16,
        "steps": 160,
    }
    return etastar.Problem(**{**given, **changes})


def losses_at(problem, rates):
    """The validation losses of trainings at these rates; three times the start where one fails."""
    lanes = [Lane(lr, 101, problem.steps, Criterion(loss=-math.inf), Until.END, problem.policy) for lr in rates]
    done = dict(LaneEngine("mlp").train(problem, lanes))
    failed = lambda o: o.status is LaneStatus.DIVERGED
    return [3 * done[i].first_valid_loss if failed(done[i]) else done[i].valid_loss for i in range(len(lanes))]


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
@pytest.mark.parametrize("lr", [1e-7, 10.0])
def test_a_start_decades_off_is_answered_well(optimizer, lr):
    problem = clusters(optimizer, lr)
    found = etastar.find(problem, effort="quick", options=OPTIONS).lr
    assert found.ok
    own, *others = losses_at(problem, [found.value, *(10 ** (k / 2) for k in range(-6, 0))])
    assert own < min(others) + 0.05


def test_no_rate_is_recommended_where_nothing_is_learned():
    """Targets that are noise of their own: every lane ends where it began, or above."""
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(600, 1, generator=g)
    x = torch.randn(600, 6, generator=g)

    def from_zero():
        layer = nn.Linear(6, 1)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    problem = clusters(
        "sgd",
        0.1,
        model=from_zero,
        loss=F.mse_loss,
        train=(x[:400], noise[:400]),
        valid=(x[400:], noise[400:]),
        steps=100,
    )
    answer = etastar.find(problem, effort="quick", options=OPTIONS)
    first = answer.runs[0].first_valid_loss
    assert min(o.valid_loss for o in answer.runs if o.valid_loss is not None) > math.exp(-0.1) * first
    assert answer.lr.status is Status.NO_PROGRESS and answer.lr.value is None
    assert "lowered its loss by a tenth" in answer.lr.reason and "plan more steps" in answer.lr.reason
    assert answer.to_json()["lr"]["status"] == "no-progress"


@pytest.mark.parametrize("effort", ["glance", "quick"])
def test_a_lucky_first_batch_refuses_nothing(effort):
    """One sample in twenty has targets thirty times as large: most first batches hold none, the validation data do."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(1200, 6, generator=g)
    size = torch.where(torch.rand(1200, 1, generator=g) < 0.05, 30.0, 1.0)
    y = size * (x[:, :1] + 0.1 * torch.randn(1200, 1, generator=g))
    x = torch.cat([x, size / 10, size * x[:, :1] / 10], 1)
    model = lambda: nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
    data = {"train": (x[:600], y[:600]), "valid": (x[600:], y[600:])}
    problem = clusters("adam", 3e-3, model=model, loss=F.mse_loss, batch_size=4, steps=200, **data)
    for seed in range(3):
        answer = etastar.find(problem, effort=effort, seed=seed, options=OPTIONS)
        first = answer.runs[0]
        assert first.first_loss != pytest.approx(first.first_valid_loss, rel=0.2), "the batch and the data differ"
        assert answer.lr.ok, answer.lr.reason


def test_a_likelihood_that_crosses_zero_is_ranked_by_its_value():
    """Gaussian NLL: it starts near 0.5 and ends near -1. The best lane is the one of the lowest loss."""
    g = torch.Generator().manual_seed(2)
    x = torch.randn(600, 6, generator=g)
    y = x[:, :1] + 0.02 * torch.randn(600, 1, generator=g)
    nll = lambda out, t: F.gaussian_nll_loss(out[:, :1], t, F.softplus(out[:, 1:]) + 1e-4)
    model = lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    data = {"train": (x[:400], y[:400]), "valid": (x[400:], y[400:])}
    problem = clusters("adam", 1e-3, model=model, loss=nll, loss_threshold=0.0, **data)
    answer = etastar.find(problem, effort="quick", options=OPTIONS)
    last = answer.best.rungs[-1]
    losses = {lr: loss for lr, _, loss in last.points if loss is not None}
    scores = {lr: score for lr, score, loss in last.points if loss is not None}
    assert min(losses.values()) < 0 < max(o.first_valid_loss for o in answer.runs)
    assert sorted(losses, key=lambda lr: losses[lr]) == sorted(scores, key=lambda lr: scores[lr])
    best = min(losses, key=lambda lr: losses[lr])
    assert abs(math.log10(last.best / best)) < 0.3
    assert answer.best.plateau is None and answer.yours.loss_ratio is None, "ratios of such losses say nothing"
