"""Prices are not divided by their spread: what `predict` expects under squared error moves with the unit of the targets."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar

DRAW = torch.Generator().manual_seed(21)
INPUTS = torch.randn(320, 6, generator=DRAW)
WAVE = torch.sin(INPUTS @ torch.randn(6, 1, generator=DRAW)) + 0.5 * INPUTS[:, :1]
TARGETS = (WAVE - WAVE.mean()) / WAVE.std()


def chain(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for n, m in zip((6, *widths), (*widths, 1), strict=True):
        layers += [nn.Linear(n, m), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


OPTIMIZERS = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.01),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
}


def problem(unit: float, *, widths=(48,), optimizer="sgd", model=None) -> etastar.Problem:
    return etastar.Problem(
        model=model or (lambda: chain(*widths)),
        optimizer=OPTIMIZERS[optimizer],
        loss=F.mse_loss,
        train=(INPUTS, unit * TARGETS),
        batch_size=32,
        steps=100,
    )


def trains(p: etastar.Problem, lr: float, seed: int) -> bool:
    """An ordinary loop: whether ten consecutive batches have a mean loss of 0.8 times the targets' variance."""
    torch.manual_seed(seed)
    net = p.model()
    optimizer = p.optimizer(net)
    inputs, targets = p.train
    for group in optimizer.param_groups:
        group["lr"] = lr
    losses: list[float] = []
    for _ in range(p.steps):
        some = torch.randint(len(inputs), (32,))
        optimizer.zero_grad()
        loss = F.mse_loss(net(inputs[some]), targets[some])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return False
        if len(losses) >= 10 and sum(losses[-10:]) / 10 <= 0.8 * targets.var().item():
            return True
    return False


def highest(p: etastar.Problem, around: float) -> float | None:
    """The largest rate of a ladder of factors 2 at which two of three seeds train."""
    for power in range(9, -10, -1):
        lr = around * 2.0**power
        if sum(trains(p, lr, seed) for seed in range(3)) >= 2:
            return lr
    return None


@pytest.mark.parametrize(
    ("unit", "optimizer"),
    [(9e3, "sgd"), pytest.param(1.0, "sgd", marks=pytest.mark.slow), pytest.param(9e3, "adam", marks=pytest.mark.slow)],
)
def test_what_is_expected_holds_what_an_ordinary_loop_finds(unit, optimizer):
    p = problem(unit, optimizer=optimizer)
    expected = etastar.predict(p).eta_star
    found = highest(p, expected.require())
    assert found is not None
    assert expected.low / 2 <= found <= 2 * expected.high  # the ladder's step


def test_twice_the_unit_halves_the_rate_of_two_layers_and_takes_a_2_5th_of_three():
    """s^-(2 - 2 / L) where targets are large, L weight layers."""
    for widths, share in (((48,), 2.0), ((48, 48), 2 ** (4 / 3))):
        small, large = (etastar.predict(problem(unit, widths=widths)).eta_star.require() for unit in (1e3, 2e3))
        assert small / large == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_targets_far_below_the_outputs_have_no_answer(optimizer):
    """Outputs of 0.2 for targets of 1e-3: 100 steps do not get there at any rate."""
    expected = etastar.predict(problem(1e-3, optimizer=optimizer)).eta_star
    assert not expected.ok
    assert "times that of the best constant" in expected.reason
    assert not any(trains(problem(1e-3, optimizer=optimizer), 10.0**x, seed=0) for x in range(-4, 1))


def test_other_networks_with_large_targets_have_none_either():
    """With tanh, eta* hardly falls with the unit; with layer normalisation, as its inverse."""
    wave = lambda: nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 1))
    expected = etastar.predict(problem(9e3, model=wave)).eta_star
    assert not expected.ok
    assert "divide the targets by their standard deviation" in expected.reason
    assert etastar.predict(problem(1.0, model=wave)).eta_star.ok


@pytest.mark.slow
def test_in_several_units_eta_star_lies_where_it_is_expected():
    """Networks and targets that the multiples were not taken from."""
    inside = []
    for unit, widths, optimizer in product((1e-3, 1.0, 1e3, 9e3), ((48,), (160,), (40, 40), (48, 48, 48)), OPTIMIZERS):
        p = problem(unit, widths=widths, optimizer=optimizer)
        expected = etastar.predict(p).eta_star
        if expected.ok:
            found = highest(p, expected.require())
            inside.append(found is not None and expected.low / 1.42 <= found <= 1.42 * expected.high)
    assert len(inside) >= 20
    assert sum(inside) >= 0.8 * len(inside), inside
