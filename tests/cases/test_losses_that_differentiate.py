"""A loss that differentiates by itself (an equation, a gradient penalty) needs a graph, also where none is kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Lane, Options, Problem
from etastar.core import Until
from etastar.core.randomness import isolated_randomness
from etastar.core.setup import set_up
from etastar.engine import LoopEngine

HERE = Options(store=":memory:", workers=1)
X = torch.randn(256, 1, generator=torch.Generator().manual_seed(0))


def residual(model, batch):
    """u'(x) = cos x."""
    x, slope = batch
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return (found - slope).square().mean()


def penalised(model, batch):
    """The loss, and the squared norm of its own gradient."""
    x, slope = batch
    loss = F.mse_loss(model(x), slope)
    gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return loss + 0.01 * sum(g.square().sum() for g in gradients)


def problem(loss_fn, **changes) -> Problem:
    return Problem(
        model=lambda: nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.05),
        loss_fn=loss_fn,
        train=(X, X.cos()),
        batch_size=32,
        steps=60,
        **changes,
    )


@pytest.mark.parametrize("loss_fn", [residual, penalised])
@pytest.mark.parametrize("valid", [None, (X[:100], X[:100].cos())], ids=["no valid", "valid"])
def test_it_is_measured_and_probed(loss_fn, valid) -> None:
    p = problem(loss_fn, valid=valid)
    answer = etastar.find(p, effort="glance", options=HERE)
    assert answer.lr.ok and answer.runs[0].end_loss > 0
    assert etastar.probe(p, samples=64).ok


@pytest.mark.parametrize("loss_fn", [residual, penalised])
def test_its_validation_loss_is_that_of_a_plain_evaluation(loss_fn) -> None:
    """At a rate at which nothing moves, the model is the seed's own; the losses are those on all samples."""
    p = problem(loss_fn, valid=(X[:100], X[:100].cos()))
    [(_, outcome)] = LoopEngine().train(p, [Lane(1e-30, 3, 2, until=Until.END)])

    with isolated_randomness():
        model = set_up(p, 3).model.eval()
    expected = float(loss_fn(model, (X[:100], X[:100].cos())).detach())
    assert outcome.valid_loss == pytest.approx(expected, rel=1e-5)
    assert outcome.first_valid_loss == pytest.approx(expected, rel=1e-5)
