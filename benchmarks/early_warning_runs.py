"""Trainings of small networks around the rate at which they diverge, with looks at the edge at several cadences."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F

from etastar.adapters.edge_look import EdgeLook
from etastar.adapters.rising import Rising
from etastar.core.randomness import generator, isolated_randomness, seed_everything

CADENCES = (10, 50, 200)
STEPS, BATCH, KEPT = 200, 32, 128
SHAPES = {"constant": 1, "warm-up": 60, "slow warm-up": 180, "jump": 100}
"""name -> the step of 200 at which the rate is at its peak; a jump comes up to 40 steps sooner or later."""
RISEN = 1.5
"""Well above the noise of five batches of 32: a training that does not diverge has no reason to come back there."""
WELL = 0.75
"""Every network here ends below that at a good rate, and attention whose softmax has saturated ends at .8 to .9."""
BASE = {"SGD": 0.5, "Adam": 0.2}
"""Where each staircase of rates begins."""


class Attention(nn.Module):
    """One block of attention over the eight rows of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Linear(8, 32), nn.MultiheadAttention(32, 2, batch_first=True)
        self.norm, self.read = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x.view(-1, 8, 8))
        return self.read(self.norm(h + self.mix(h, h, h, need_weights=False)[0]).mean(1))


class Skipping(nn.Module):
    """A residual MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.read = nn.Linear(64, 32), nn.Linear(32, 10)
        self.blocks = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            h = h + F.relu(block(h))
        return self.read(h)


class Recurrent(nn.Module):
    """A tanh network over the rows of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.read = nn.Linear(40, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 32)
        for row in x.view(-1, 8, 8).unbind(1):
            h = torch.tanh(self.step(torch.cat([row, h], 1)))
        return self.read(h)


def mlp(
    *widths: int, act: Callable[[], nn.Module] = nn.ReLU, norm: Callable[[int], nn.Module] | None = None
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for into, out in pairwise(widths[:-1]):
        layers += [nn.Linear(into, out), *([norm(out)] if norm else []), act()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def conv() -> nn.Sequential:
    part = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU())
    return nn.Sequential(*part, nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10))


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs, F.one_hot(targets, 10).to(outputs))


NETWORKS: dict[str, tuple[str, Callable[[], nn.Module], Callable[[Tensor, Tensor], Tensor]]] = {
    "linear": ("digits", lambda: mlp(64, 10), F.cross_entropy),
    "relu, 1 hidden": ("digits", lambda: mlp(64, 64, 10), F.cross_entropy),
    "relu, 3 hidden": ("digits", lambda: mlp(64, 32, 32, 32, 10), F.cross_entropy),
    "gelu, 6 hidden": ("digits", lambda: mlp(64, *6 * (24,), 10, act=nn.GELU), F.cross_entropy),
    "tanh, 2 hidden": ("digits", lambda: mlp(64, 48, 48, 10, act=nn.Tanh), F.cross_entropy),
    "layer norm": ("digits", lambda: mlp(64, 32, 32, 10, norm=nn.LayerNorm), F.cross_entropy),
    "batch norm": ("digits", lambda: mlp(64, 32, 32, 10, norm=nn.BatchNorm1d), F.cross_entropy),
    "convolution": ("digits", conv, F.cross_entropy),
    "residual": ("digits", Skipping, F.cross_entropy),
    "attention": ("digits", Attention, F.cross_entropy),
    "recurrent": ("digits", Recurrent, F.cross_entropy),
    "squared loss": ("digits", lambda: mlp(64, 48, 48, 10), squared),
    "regression": ("diabetes", lambda: mlp(10, 32, 32, 1, act=nn.Tanh), F.mse_loss),
    "two classes": ("breast_cancer", lambda: mlp(30, 24, 24, 2), F.cross_entropy),
}
"""name -> (data of scikit-learn, model, loss)."""


@cache
def data(name: str) -> tuple[Tensor, Tensor]:
    """Standardised inputs, and targets: classes, or one standardised number."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    inputs = torch.tensor((x - x.mean(0)) / (x.std(0) + 1e-2), dtype=torch.float32)
    if y.dtype.kind == "f":
        return inputs, torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[:, None]
    return inputs, torch.tensor(y)


def rate_at(shape: str, step: int, peak: float, turn: int) -> float:
    """Of a step; `turn` is where the warm-up ends or the rate jumps."""
    if shape == "jump":
        return peak / 8 if step < turn else peak
    return peak * min(1.0, (step + 1) / turn)


def train(
    network: str, kind: str, shape: str, peak: float, seed: int, steps: int = STEPS, cadences: Sequence[int] = CADENCES
) -> dict[str, Any]:
    """One training: its losses, rates, norms, looks by cadence, and CPU seconds of both."""
    source, build, loss_fn = NETWORKS[network]
    x, y = data(source)
    draw = generator(seed, network, kind, shape)
    with isolated_randomness():
        seed_everything(seed)
        model = build()
    own: Any = {"lr": peak, "momentum": 0.9} if kind == "SGD" else {"lr": peak}
    optimizer = getattr(torch.optim, kind)(model.parameters(), **own)
    kept = torch.randperm(len(x), generator=draw)[:KEPT]
    closure = lambda: loss_fn(model(x[kept]), y[kept])
    looks = {every: EdgeLook(optimizer, model, closure) for every in cadences}
    rising = {every: Rising(every) for every in cadences}
    turn = SHAPES[shape] + (int(torch.randint(-40, 40, (), generator=draw)) if shape == "jump" else 0)
    turn = 1 if shape == "constant" else turn * steps // STEPS
    row: dict[str, Any] = {"network": network, "optimizer": kind, "shape": shape, "peak": peak, "seed": seed, "turn": turn}
    row |= {"planned": steps, "first": float(closure().detach())}
    row |= {"losses": [], "norms": [], "looks": {every: [] for every in cadences}}
    spent, began = dict.fromkeys(cadences, 0.0), time.process_time()
    for step in range(steps):
        rate = rate_at(shape, step, peak, turn)
        optimizer.param_groups[0]["lr"] = rate
        some = torch.randint(len(x), (BATCH,), generator=draw)
        optimizer.zero_grad()
        loss = loss_fn(model(x[some]), y[some])
        loss.backward()
        norm = float(
            torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]))
        )
        value = float(loss.detach())
        row["losses"].append(value)
        row["norms"].append(norm)
        if not math.isfinite(norm) or not value <= 1e6:
            break
        for every in cadences:
            if rising[every].due(step, rate, norm):
                before = time.process_time()
                edge = looks[every]()
                row["looks"][every].append([step, edge.top, edge.along, rate])
                spent[every] += time.process_time() - before
        optimizer.step()
    row["seconds"] = time.process_time() - began - sum(spent.values())
    return row | {"spent": spent}


def staircases(rounds: int, networks: Iterable[str] = NETWORKS) -> Iterator[tuple[str, str, str, int]]:
    """(network, optimizer, shape, round), all networks before the next round."""
    for round_ in range(rounds):
        for network in networks:
            for kind in BASE:
                for shape in SHAPES:
                    yield network, kind, shape, round_


def rows(
    folder: Path,
    rounds: int,
    most: int,
    networks: Iterable[str] = NETWORKS,
    steps: int = STEPS,
    cadences: Sequence[int] = CADENCES,
) -> Iterator[dict[str, Any]]:
    """All trainings, or the first `most`; those in `folder` are not trained again.

    The peak goes up after a training that went well and down after one that did not, by .2 to .8 decades: half of all end on
    either side, and most near the border, where telling them apart is hardest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "early_warning.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    peaks: dict[tuple[str, str, str], float] = {}
    with file.open("a") as out:
        for place, (network, kind, shape, round_) in enumerate(islice(staircases(rounds, networks), most)):
            row = known[place] if place < len(known) else None
            if row is None:
                peak = peaks.get((network, kind, shape), BASE[kind])
                row = train(network, kind, shape, peak, round_, steps, cadences)
                text = json.dumps(row, default=float)
                out.write(text + "\n")
                out.flush()
                row = json.loads(text)
            size = 10 ** (0.2 + 0.6 * float(torch.rand((), generator=generator(round_, network, kind, shape, "peak"))))
            peaks[network, kind, shape] = row["peak"] * (size if goes_well(row) else 1 / size)
            yield row


def goes_well(row: dict[str, Any]) -> bool:
    """Whether a training never diverges and ends below `WELL` of its first loss."""
    return moment(row) is None and sum(row["losses"][-20:]) / 20 < WELL * row["first"]


def moment(row: dict[str, Any]) -> int | None:
    """The step at which the mean of five losses is first beyond `RISEN` times that of the untrained network; None: never."""
    losses = row["losses"]
    for step in range(len(losses)):
        some = losses[max(0, step - 4) : step + 1]
        if not sum(some) / len(some) <= RISEN * row["first"]:
            return step
    return len(losses) if len(losses) < row["planned"] else None
