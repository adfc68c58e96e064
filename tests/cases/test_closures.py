"""Optimizers whose step needs the loss anew get a closure, also where their signature says that they can do without."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Criterion, Lane, Options, Problem, ProblemError
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.engine import LoopEngine

GENERATOR = torch.Generator().manual_seed(4)
X = torch.randn(256, 6, generator=GENERATOR)
Y = (X[:, 0] + X[:, 1] > 0).long()


class Sharpness(torch.optim.Optimizer):
    """SAM around SGD: `step(closure=None)`, but the closure is needed."""

    def __init__(self, params, lr=0.1, rho=0.1) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})
        self.base = torch.optim.SGD(self.param_groups, lr=lr)

    def ascend(self):
        norm = torch.stack([p.grad.norm() for group in self.param_groups for p in group["params"]]).norm() + 1e-12
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["e"] = p.grad * (group["rho"] / norm)
                p.add_(self.state[p]["e"])

    def descend(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.state[p]["e"])
        self.base.step()

    @torch.no_grad()
    def step(self, closure=None):
        closure = torch.enable_grad()(closure)
        loss = closure()
        self.ascend()
        closure()
        self.descend()
        return loss


class Asserting(Sharpness):
    @torch.no_grad()
    def step(self, closure=None):
        assert closure is not None, "a closure is needed"
        return Sharpness.step(self, closure)


class Optional(torch.optim.Optimizer):
    """As torch's own: takes a closure, and needs none."""

    def __init__(self, params, lr=0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"])


class Broken(Optional):
    @torch.no_grad()
    def step(self, closure=None):
        raise ValueError("the moon is in the wrong house")


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))


def problem(kind, **changes) -> Problem:
    make = lambda m: kind(m.parameters(), lr=0.2)
    given = {"model": network, "optimizer": make, "loss": F.cross_entropy, "train": (X, Y), "batch_size": 32, "steps": 60}
    return Problem(**(given | changes))


LANE = Lane(0.2, 6, 30, Criterion(loss=-1.0), Until.END)


@pytest.mark.parametrize("kind", [Sharpness, Asserting])
def test_sharpness_aware_steps_are_those_of_a_plain_loop(kind):
    with isolated_randomness():
        seed_everything(derive_seed(LANE.seed, "init"))
        net = network()
        optimizer = Sharpness(net.parameters(), lr=0.2)
        losses = []
        for _, (x, y) in zip(range(30), stream(problem(kind).batches, LANE.seed), strict=False):
            with torch.enable_grad():
                optimizer.zero_grad()
                loss = F.cross_entropy(net(x), y)
                loss.backward()
            with torch.no_grad():
                optimizer.ascend()
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            with torch.no_grad():
                optimizer.descend()
            losses.append(loss.item())
    found = LoopEngine().train_lane(problem(kind), LANE)
    assert [row.loss for row in found.trace] == pytest.approx(losses, rel=1e-5)


def test_such_an_optimizer_is_measured_and_probed():
    answer = etastar.find(problem(Sharpness), effort="glance", options=Options(store=":memory:", workers=1))
    assert answer.lr.ok
    assert etastar.probe(problem(Sharpness))["eta_c"].ok


def test_one_that_needs_none_gets_none():
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        return F.cross_entropy(outputs, targets)

    own = problem(Optional, loss=loss)
    LoopEngine().train_lane(own, LANE)
    calls.clear()  # the first lane also asks the loss what counts as right
    LoopEngine().train_lane(own, LANE)
    assert len(calls) == 30


def test_one_that_fails_either_way_says_its_own_sentence():
    with pytest.raises(ProblemError, match="the moon is in the wrong house"):
        LoopEngine().train_lane(problem(Broken), LANE).require()
