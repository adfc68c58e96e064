"""An eps that the parameters' type cannot hold: Adam divides 0 by 0, whatever the rate."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Problem
from etastar.engine.preflight import preflight

X = torch.randn(128, 8, generator=torch.Generator().manual_seed(0)).half()
Y = (X[:, 0] > 0).long()


def halves(eps: float) -> Problem:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs.float(), targets)

    return Problem(
        model=lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).half(),
        optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, eps=eps),
        loss=loss,
        train=(X[:96], Y[:96]),
        valid=(X[96:], Y[96:]),
        batch_size=32,
        steps=40,
    )


def test_the_answer_says_why_every_lane_diverged() -> None:
    answer = etastar.find(halves(1e-8), effort="glance")
    assert answer.lr.status == "diverged-everywhere"
    assert "eps-is-zero" in answer.flags


@pytest.mark.parametrize(("eps", "zero"), [(1e-8, True), (2e-8, True), (1e-7, False), (1e-4, False)])
def test_what_the_type_makes_of_it(eps: float, zero: bool) -> None:
    """The smallest positive float16 is 2^-24 = 6e-8; half of it rounds to 0."""
    assert ("eps-is-zero" in preflight(halves(eps)).flags) == zero


def test_what_the_flag_advises_trains() -> None:
    answer = etastar.find(halves(1e-4), effort="glance")
    assert answer.lr.ok
    assert "eps-is-zero" not in answer.flags
