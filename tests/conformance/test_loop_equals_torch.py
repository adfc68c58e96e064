"""The reference loop trains exactly as the loop a user would write: same weights, bit for bit, for every optimizer."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from catalog import OPTIMIZERS
from etastar import Criterion, Lane, Problem
from etastar.core import Until
from etastar.core.randomness import derive_seed, generator, isolated_randomness, seed_everything
from etastar.engine import LoopEngine

STEPS, BATCH, SEED = 12, 16, 5


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm1d(16), nn.Linear(16, 3, bias=False))


def ordinary_loop(data, factory, lr: float, *, clip: float | None = None, accumulate: int = 1) -> list[float]:
    """Written out by hand, with the documented seeds for weights, order and masks."""
    x, y = data
    losses = []
    with isolated_randomness():
        seed_everything(derive_seed(SEED, "init"))
        model = make_model().double().train()
        optimizer = factory(model)
        multipliers = [float(g["lr"]) / float(optimizer.defaults["lr"]) for g in optimizer.param_groups]
        for group, multiplier in zip(optimizer.param_groups, multipliers, strict=True):
            group["lr"] = torch.tensor(lr * multiplier) if torch.is_tensor(group["lr"]) else lr * multiplier
        order = torch.cat([torch.randperm(len(x), generator=generator(SEED, "epoch", e)) for e in range(9)])
        index = 0
        for step in range(STEPS):
            batches = []
            for _ in range(accumulate):
                rows = order[index : index + BATCH]
                batches.append((x[rows].double(), y[rows]))
                index += BATCH
            seen = []

            def closure(batches=batches, step=step, seen=seen):
                optimizer.zero_grad()
                total = 0.0
                for part, (a, b) in enumerate(batches):
                    seed_everything(derive_seed(SEED, "mask", step, part))
                    loss = F.cross_entropy(model(a), b) / accumulate
                    loss.backward()
                    total = total + loss.detach()
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
                seen.append(float(total))
                return total

            if type(optimizer).__name__ in ("LBFGS", "NeedsClosure"):
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
            losses.append(seen[0])
    return losses


def lane_losses(data, factory, lr: float, **settings) -> list[float]:
    problem = Problem(
        model=make_model, optimizer=factory, loss=F.cross_entropy, train=data, batch_size=BATCH, steps=STEPS, **settings
    )
    lane = Lane(lr, SEED, STEPS, Criterion(loss=-1.0), Until.END)
    outcome = LoopEngine(dtype=torch.float64).train_lane(problem, lane)
    return [row.loss for row in outcome.trace]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_as_in_an_ordinary_loop(name, data):
    lr = 0.03
    ours = lane_losses(data, OPTIMIZERS[name], lr)
    assert ours == ordinary_loop(data, OPTIMIZERS[name], lr)
    assert len(set(ours)) == STEPS, "it must have trained"


@pytest.mark.parametrize("settings", [{"clip": 0.05}, {"accumulate": 2}, {"clip": 0.05, "accumulate": 3}])
def test_clipping_and_accumulation_are_those_of_an_ordinary_loop(settings, data):
    ours = {"clip_grad_norm": settings.get("clip"), "accumulate": settings.get("accumulate", 1)}
    assert lane_losses(data, OPTIMIZERS["momentum"], 0.1, **ours) == ordinary_loop(
        data, OPTIMIZERS["momentum"], 0.1, **settings
    )
    assert lane_losses(data, OPTIMIZERS["momentum"], 0.1, **ours) != lane_losses(data, OPTIMIZERS["momentum"], 0.1)


def test_a_frozen_group_does_not_move(data):
    net = make_model()

    def factory(model):
        first, *rest = model.parameters()
        groups = [{"params": [first], "lr": 0.0, "name": "frozen"}, {"params": rest, "name": "rest"}]
        return torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.5)

    models = []

    def factory_that_keeps(model):
        models.append(model)
        return factory(model)

    problem = Problem(
        model=lambda: copy.deepcopy(net), optimizer=factory_that_keeps, loss=F.cross_entropy, train=data, steps=STEPS
    )
    LoopEngine().train_lane(problem, Lane(0.1, 0, STEPS, until=Until.END))
    trained = models[-1]
    assert torch.equal(trained[0].weight, net[0].weight)
    assert not torch.equal(trained[-1].weight, net[-1].weight)
