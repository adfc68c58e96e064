"""A squared error of [n, 1] against [n]: torch warns and goes on, and the network learns the mean of the targets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from etastar import Problem
from etastar.engine.preflight import preflight

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, 0] - 2 * X[:, 1]


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def zeroed() -> nn.Module:
    layer = nn.Linear(4, 1)
    nn.init.zeros_(layer.weight)
    return layer


def flagged(
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    model: Callable[[], nn.Module] = lambda: nn.Linear(4, 1),
) -> bool:
    optimizer = lambda m: torch.optim.SGD(m.parameters(), lr=0.1)
    problem = Problem(model=model, optimizer=optimizer, loss=loss, train=(X, targets), batch_size=32, steps=20)
    return "targets-broadcast" in preflight(problem).flags


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, nn.HuberLoss(), squared])
def test_every_output_against_every_target(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert flagged(Y, loss)
    assert flagged(Y, loss, zeroed), "also where all outputs are alike at the start"
    assert not flagged(Y[:, None], loss)


def test_a_loss_that_gives_both_one_shape_is_left_alone() -> None:
    assert not flagged(Y, lambda outputs, targets: F.mse_loss(outputs.squeeze(-1), targets))
    assert not flagged(Y, lambda outputs, targets: squared(outputs.flatten(), targets), zeroed)


def test_it_is_the_mean_that_is_learned() -> None:
    """The flag's claim by hand: least squares under the broadcast loss leaves the targets' whole variance."""
    w = torch.zeros(4, requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w, b], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        squared((X @ w + b)[:, None], Y).backward()
        optimizer.step()
    assert w.norm() < 0.05
    assert torch.isclose(b[0], Y.mean(), atol=0.02)
