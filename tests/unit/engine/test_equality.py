"""An engine is compared with the loop in float64, at a later step, and in the model's own type."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Criterion, Problem
from etastar.engine import sequential
from etastar.engine.choice import choose
from etastar.engine.lanes.engine import KERNELS
from etastar.problems.digits import digits_mlp

LEARNS = Criterion()


def with_kernel(monkeypatch, change):
    class Changed(KERNELS["mlp"]):
        steps = 0

        def gradient(self, rows, batch):
            scores = super().gradient(rows, batch)
            self.steps += 1
            change(self, rows)
            return scores

    monkeypatch.setitem(KERNELS, "mlp", Changed)


def test_a_kernel_that_goes_wrong_after_the_first_steps_is_refused(monkeypatch):
    with_kernel(monkeypatch, lambda kernel, rows: rows.grad.mul_(0.0 if kernel.steps > 4 else 1.0))
    choice = choose(digits_mlp(width=16).but(steps=800), LEARNS)
    assert choice.engine != "mlp" and "in later steps" in dict(choice.refused)["mlp"]


@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_a_kernel_that_is_right_in_float64_only_is_refused(monkeypatch, factor):
    with_kernel(monkeypatch, lambda kernel, rows: rows.grad.mul_(1.0 if rows.grad.dtype == torch.float64 else factor))
    choice = choose(digits_mlp(width=16), LEARNS)
    assert choice.engine != "mlp" and "in the model's own type" in dict(choice.refused)["mlp"]


def half_precision() -> Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 16, generator=generator)
    return Problem(
        model=lambda: nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).bfloat16(),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=lambda o, t: F.cross_entropy(o.float(), t),
        train=(x.bfloat16(), x[:, :4].argmax(1)),
        batch_size=32,
        steps=60,
    )


def test_a_fused_optimizer_that_moves_nothing_in_half_precision_is_refused_by_the_trial(monkeypatch):
    """torch 2.13 on the CPU: right in float64, nothing in bfloat16."""
    monkeypatch.setattr(sequential, "FUSED_TYPES", (torch.bfloat16, torch.float32, torch.float64))
    still = torch.nn.Parameter(torch.ones(32, dtype=torch.bfloat16))
    still.grad = torch.ones_like(still)
    torch.optim.SGD([still], lr=0.5, fused=True).step()
    if not torch.equal(still, torch.ones_like(still)):
        pytest.skip("this torch moves them")
    assert choose(half_precision(), LEARNS).engine == "loop"


def test_a_model_in_half_precision_may_still_be_trained_together():
    choice = choose(half_precision().but(loss=F.cross_entropy), LEARNS, engine="mlp")
    assert choice.engine == "mlp"
