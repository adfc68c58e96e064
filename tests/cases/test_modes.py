"""Training mode and eval mode are the user's: frozen parts stay frozen, and optimizers that have modes are told."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Criterion, Lane, LaneEngine, Options, Problem
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.modes import evaluating
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.setup import set_up
from etastar.engine import LoopEngine, SequentialEngine

GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(256, 1, 6, 6, generator=GENERATOR)
Y = (X[:, 0, 0, 0] > 0).long()


def pretrained() -> nn.Module:
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        for _ in range(20):
            net(2 * torch.randn(32, 1, 6, 6) + 1)
    return net


with isolated_randomness():
    BASE = pretrained()


def frozen() -> nn.Module:
    net = copy.deepcopy(BASE).train()
    net[1].eval()
    return net


def problem(model=frozen, **changes) -> Problem:
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.05)
    given = {"model": model, "optimizer": sgd, "loss": F.cross_entropy, "train": (X, Y), "valid": (X[:64], Y[:64])}
    return Problem(**(given | {"batch_size": 32, "steps": 40} | changes))


LANE = Lane(0.05, 3, 20, Criterion(loss=-1.0), Until.END)


def by_hand(model: nn.Module, optimizer, steps=20) -> tuple[list[float], float]:
    """Losses of an ordinary loop, and the validation loss in eval mode at its end."""
    losses = []
    for _, (x, y) in zip(range(steps), stream(problem().batches, LANE.seed), strict=False):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    with torch.no_grad():
        return losses, F.cross_entropy(model(X[:64]), Y[:64]).item()


@pytest.mark.parametrize("engine", ["loop", "sequential", "vmap", "convnet"])
def test_a_frozen_batchnorm_normalises_by_its_statistics_in_every_engine(engine):
    net = frozen()
    losses, valid = by_hand(net, torch.optim.SGD(net.parameters(), lr=0.05))
    assert torch.equal(net[1].running_mean, BASE[1].running_mean)
    if engine in ("loop", "sequential"):
        found = (LoopEngine if engine == "loop" else SequentialEngine)().train_lane(problem(), LANE)
    else:
        (found,) = LaneEngine(engine).try_train(problem(), [LANE])
    assert [row.loss for row in found.trace] == pytest.approx(losses, rel=1e-4)
    assert found.valid_loss == pytest.approx(valid, rel=1e-4)


def test_a_model_in_eval_mode_as_a_whole_is_trained_in_training_mode():
    setup = set_up(problem(lambda: copy.deepcopy(BASE).eval()), 0)
    assert all(module.training for module in setup.model.modules())


def test_a_train_method_of_the_users_is_called():
    class Own(nn.Sequential):
        def train(self, mode=True):
            super().train(mode)
            self[1].eval()
            return self

    net = set_up(problem(lambda: Own(*copy.deepcopy(BASE))), 0).model
    assert net.training and net[0].training and not net[1].training


def test_modes_are_put_back_after_validation():
    setup = set_up(problem(), 0)
    before = [module.training for module in setup.model.modules()]
    with evaluating(setup.model, setup.optimizer):
        assert not any(module.training for module in setup.model.modules())
    assert [module.training for module in setup.model.modules()] == before and not before[2]


@pytest.mark.parametrize(("model", "flagged"), [(frozen, True), (lambda: copy.deepcopy(BASE), False)])
def test_parts_that_stay_in_eval_mode_are_flagged(model, flagged):
    answer = etastar.find(problem(model, steps=60), effort="glance", options=Options(store=":memory:", workers=1))
    assert ("parts-in-eval" in answer.flags) == flagged


class Averaging(torch.optim.Optimizer):
    """SGD that is evaluated at the mean of its iterates: `eval` moves the weights there, `train` moves them back."""

    def __init__(self, params, lr=0.05) -> None:
        super().__init__(params, {"lr": lr})
        self.training = False
        self.count = 0

    def _all(self):
        return [(p, self.state[p]) for group in self.param_groups for p in group["params"]]

    @torch.no_grad()
    def step(self, closure=None):
        if not self.training:
            raise RuntimeError("call optimizer.train() first")
        self.count += 1
        for p, state in self._all():
            p.sub_(p.grad, alpha=self.param_groups[0]["lr"])
            mean = state.setdefault("mean", torch.zeros_like(p))
            mean.add_(p - mean, alpha=1 / self.count)

    @torch.no_grad()
    def eval(self):
        if self.training:
            self._swap()
        self.training = False

    @torch.no_grad()
    def train(self):
        if not self.training and self.count:
            self._swap()
        self.training = True

    def _swap(self):
        for p, state in self._all():
            now = p.clone()
            p.copy_(state["mean"])
            state["mean"] = now


def test_an_optimizer_with_modes_is_told_to_train_and_evaluates_where_it_says():
    own = problem(lambda: copy.deepcopy(BASE), optimizer=lambda m: Averaging(m.parameters()))
    found = LoopEngine().train_lane(own, LANE)
    net = copy.deepcopy(BASE).train()
    optimizer = Averaging(net.parameters())
    optimizer.train()
    losses, valid = by_hand(net, optimizer)
    assert [row.loss for row in found.trace] == pytest.approx(losses, rel=1e-6)
    assert found.valid_loss == pytest.approx(valid, rel=1e-5)
    optimizer.train()
    net.eval()
    with torch.no_grad():
        assert abs(F.cross_entropy(net(X[:64]), Y[:64]).item() / valid - 1) > 1e-3, "it must matter where"


def test_the_initial_weights_are_those_of_the_seed():
    with isolated_randomness():
        seed_everything(derive_seed(LANE.seed, "init"))
        assert torch.equal(set_up(problem(), LANE.seed).model[0].weight, frozen()[0].weight)
