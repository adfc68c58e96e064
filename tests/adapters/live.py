"""Ordinary training loops that a `Controller` drives, over the data and weights of a lane."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from catalog import LOOP_ONLY
from etastar import Criterion, Lane, Problem
from etastar.adapters.controller import Controller
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.policies.compose import PerGroup, Then, Times
from etastar.policies.named import policy_over
from etastar.policies.policy import Constant
from etastar.policies.registry import SCHEDULES
from etastar.policies.schedule import Schedule

GENERATOR = torch.Generator().manual_seed(1)
X = torch.randn(96, 16, generator=GENERATOR)
Y = (X[:, 0] + 0.3 * torch.randn(96, generator=GENERATOR) > 0).long()
STEPS, SEED, LR = 20, 3, 0.1


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 2)

    def forward(self, x):
        return self.out(self.norm(x + torch.relu(self.inner(x))))


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)),
    "conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 2),
    ),
    "residual": Residual,
}
OPTIMIZERS = {
    "SGD": lambda m: torch.optim.SGD(m.parameters(), lr=LR, momentum=0.9),
    "AdamW": lambda m: torch.optim.AdamW(m.parameters(), lr=LR),
}
EAGER = {
    "plateau, eager": "plateau:signal=loss,every=1,patience=0,factor=0.7",
    "greedy, eager": "greedy:signal=loss,every=1,patience=0,factor=0.7",
    "bold-driver, eager": "bold-driver:signal=loss,every=1",
    "plateau of accuracy": "plateau:signal=accuracy,every=2,patience=1,factor=0.7",
    "hypergradient, fast": "hypergradient:beta=0.3",
    "spike-guard, nervous": "spike-guard:memory=3,deviations=0.3,back=4",
    "one after another": "hypergradient@0.4>polyak@0.7>cosine",
}
POLICIES = {
    **{name: policy_over(name, STEPS) for name in SCHEDULES if name not in LOOP_ONLY},
    **{name: policy_over(text, STEPS) for name, text in EAGER.items()},
    "by group": PerGroup({"group_0": policy_over("hypergradient:beta=0.3", STEPS)}, Constant()),
    "then, from the rate in use": Then(policy_over("polyak", STEPS), 7, Schedule().over(13), start="current"),
    "times": Times(policy_over("polyak", STEPS), 0.5),
}


def problem(net: str, optimizer: str) -> Problem:
    return Problem(
        model=NETS[net], optimizer=OPTIMIZERS[optimizer], loss=F.cross_entropy, train=(X, Y), batch_size=16, steps=STEPS
    )


def lane(policy, steps: int = STEPS, lr: float = LR) -> Lane:
    return Lane(lr, SEED, steps, Criterion(loss=-math.inf), Until.END, policy)


class Live:
    """One live training in float64."""

    def __init__(self, net: str, optimizer: str, policy, **settings) -> None:
        with isolated_randomness():
            seed_everything(derive_seed(SEED, "init"))
            self.model = NETS[net]().double()
        self.optimizer = OPTIMIZERS[optimizer](self.model)
        self.controller = Controller(self.optimizer, policy, model=self.model, **settings)
        batches = stream(problem(net, optimizer).batches, SEED)
        self.batches = [next(batches) for _ in range(3 * STEPS)]
        self.losses: list[float] = []
        self.rates: list[float] = []

    def train(self, start: int, stop: int) -> None:
        for x, y in self.batches[start:stop]:
            self.optimizer.zero_grad()
            out = self.model(x.double())
            loss = F.cross_entropy(out, y)
            loss.backward()
            self.losses.append(loss.item())
            self.rates.append(self.controller.step(loss=loss, accuracy=(out.argmax(1) == y).double().mean()))
            self.optimizer.step()

    def saved(self) -> bytes:
        parts = {"model": self.model, "optimizer": self.optimizer, "controller": self.controller}
        file = io.BytesIO()
        torch.save({name: part.state_dict() for name, part in parts.items()}, file)
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.controller.load_state_dict(state["controller"])

    def weights(self) -> torch.Tensor:
        return torch.cat([t.detach().flatten().double() for t in self.model.state_dict().values()])
