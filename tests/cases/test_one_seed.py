"""Where lanes end by luck, one seed gives a span and no verdict; a plateau is promised only where it was measured."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import etastar
from diagonal import diagonal
from etastar import Criterion, Outcome, Runs
from etastar.core import LaneStatus
from etastar.core.flags import FLAGS
from etastar.designs.best_rate.best_lr import BestLR, Rung
from etastar.policies import Constant
from etastar.verbs.find.one_seed import searches_in_a_step

MEMORY = etastar.Options(store=":memory:", workers=1)


class LineSearch(torch.optim.Optimizer):
    """Halves its step until the loss falls."""

    def __init__(self, params, lr: float = 1.0) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure):
        loss = torch.enable_grad()(closure)()
        with torch.no_grad():
            before = [[p.clone() for p in g["params"]] for g in self.param_groups]
            slopes = [[p.grad.clone() for p in g["params"]] for g in self.param_groups]
            for halved in range(4):
                for g, starts, grads in zip(self.param_groups, before, slopes, strict=True):
                    for p, start, grad in zip(g["params"], starts, grads, strict=True):
                        p.copy_(start - g["lr"] * 0.5**halved * grad)
                with torch.enable_grad():
                    if float(closure().detach()) < float(loss.detach()) and halved:
                        break
        return loss


class TwoGradients(torch.optim.Optimizer):
    """A step from where the gradient leads, as SAM's."""

    def __init__(self, params, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure):
        closure()
        loss = closure()
        with torch.no_grad():
            for g in self.param_groups:
                for p in g["params"]:
                    p.sub_(g["lr"] * p.grad)
        return loss


OPTIMIZERS = {
    "LBFGS": (lambda m: torch.optim.LBFGS(m.parameters(), lr=1.0, max_iter=4), True),
    "LBFGS of one evaluation": (lambda m: torch.optim.LBFGS(m.parameters(), lr=1.0, max_iter=1), True),
    "a line search": (lambda m: LineSearch(m.parameters()), True),
    "two gradients": (lambda m: TwoGradients(m.parameters()), False),
    "SGD": (lambda m: torch.optim.SGD(m.parameters(), lr=0.1), False),
    "AdamW": (lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3), False),
}


def problem(optimizer, **changes) -> etastar.Problem:
    g = torch.Generator().manual_seed(2)
    x = torch.randn(600, 12, generator=g)
    y = (x @ torch.randn(12, 4, generator=g) + torch.randn(600, 4, generator=g)).argmax(1)
    given = {
        "model": lambda: nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4)),
        "optimizer": optimizer,
        "loss": F.cross_entropy,
        "train": (x[:400], y[:400]),
        "valid": (x[400:], y[400:]),
        "batch_size": 64,
        "steps": 40,
    }
    return etastar.Problem(**{**given, **changes})


@pytest.mark.parametrize(("optimizer", "searches"), OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_a_step_that_is_a_search_is_recognised(optimizer, searches):
    assert searches_in_a_step(problem(optimizer), "cpu") is searches


@pytest.mark.parametrize(
    ("name", "effort"), diagonal(["LBFGS", "LBFGS of one evaluation", "a line search"], ["glance", "quick"])
)
def test_one_seed_of_such_a_method_is_no_verdict_and_its_interval_holds_every_rate_that_trained(name, effort):
    answer = etastar.find(problem(OPTIMIZERS[name][0]), effort=effort, options=MEMORY)
    assert answer.yours is not None and answer.yours.verdict == "cannot-tell"
    assert "cannot be told from the best" in answer.yours.sentence and "high" not in answer.yours.sentence
    assert "one-seed" in answer.flags and "one-seed" in answer.lr.flags
    assert answer.best.plateau is None and answer.to_json()["plateau"] is None
    for outcome in answer.runs:
        if outcome.valid_loss is not None and outcome.valid_loss < 0.5 * outcome.first_loss:
            assert answer.lr.low <= outcome.lane.lr <= answer.lr.high


def test_ordinary_methods_are_judged_as_before():
    far = problem(lambda m: torch.optim.SGD(m.parameters(), lr=1e-3))
    answer = etastar.find(far, effort="quick", options=MEMORY)
    assert "one-seed" not in answer.flags
    assert answer.yours is not None and answer.yours.verdict == "low"


@pytest.mark.slow
def test_more_seeds_at_the_full_length_are_a_verdict_again():
    answer = etastar.find(
        problem(OPTIMIZERS["LBFGS"][0], steps=12), effort="thorough", within=2.0, options=MEMORY,
        precision=etastar.Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1),
    )  # fmt: skip
    assert answer.yours is not None and answer.lr.ok
    assert "one-seed" not in answer.lr.flags and answer.yours.verdict != "cannot-tell"


def level(steps: int, horizon: int) -> etastar.Estimate:
    """What `BestLR` says of a loss that is the same to 0.3 % over three decades and fails above."""
    design = BestLR(Criterion(), horizon, Constant(), 0.01, budget=9.0, rungs=(Rung(steps, 0.75, 9),))
    while lanes := design.ask():
        told = []
        for lane in lanes:
            x = math.log10(lane.lr)
            loss = 1.0 + 0.001 * (x + 2) ** 2 if x < -0.4 else 3.0
            told.append(Outcome(lane, LaneStatus.TRAINED, None, lane.steps, 2.0, loss, valid_loss=loss))
        design.tell(Runs(told))
    return design.answer().lr


def test_any_rate_of_the_plateau_will_do_only_where_that_was_measured_at_the_horizon():
    assert "flat" in level(100, 100).flags and "flat-when-short" not in level(100, 100).flags
    short = level(100, 400)
    assert "flat-when-short" in short.flags and "flat" not in short.flags
    assert "will do" not in FLAGS["flat-when-short"] and "will do" in FLAGS["flat"]
