"""`find --effort quick` from a usual rate, from 1e-7 and from 10, on tasks where the start of training says little.

Heavy tails, two samples a batch, plateaus, noisy labels, optimizers without a usual rate. The truth is a grid of ordinary
trainings of the full length; what a recommended rate loses against its best is measured on seeds of their own, in nats.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from benchmarks.cases.case import table
from etastar.core.lane import Criterion, Lane, LaneStatus, Outcome, Until, quantise
from etastar.core.randomness import derive_seed

Data = tuple[torch.Tensor, torch.Tensor]
STEPS, RATES_PER_DECADE, SEEDS = 200, 2, 3
GOOD, FAR = 0.05, 1.0
"""Nats a good rate may lose, and nats from which an answer is badly wrong."""
STARTS = ("usual", "1e-7", "10")
OPTIMIZERS: dict[str, tuple[Any, dict[str, Any], float]] = {
    "sgd": (torch.optim.SGD, {}, 0.1),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, 0.01),
    "adamw": (torch.optim.AdamW, {}, 1e-3),
    "rmsprop": (torch.optim.RMSprop, {}, 1e-2),
}
"""name -> class, settings, torch's own or a usual rate."""


@dataclass(frozen=True)
class Task:
    """Data, network and loss; squared errors are compared as half their logarithm, which is nats of a Gaussian."""

    train: Data
    valid: Data
    model: Callable[[], nn.Module]
    loss: Any
    batch_size: int
    optimizers: tuple[str, ...]
    schedule: str = "constant"

    def nats(self, loss: float) -> float:
        """A loss in nats."""
        return 0.5 * math.log(loss) if self.loss is F.mse_loss else loss


def _split(x: torch.Tensor, y: torch.Tensor, n: int) -> tuple[Data, Data]:
    return (x[:n], y[:n]), (x[n:], y[n:])


def _net(*widths: int, act: type[nn.Module] = nn.ReLU) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), act()]
        return nn.Sequential(*layers[:-1])

    return make


def tasks() -> dict[str, Task]:
    """name -> task; nothing in the package was tuned on them."""
    g = torch.Generator().manual_seed(7)
    normal = lambda *shape: torch.randn(*shape, generator=g)
    student = lambda *shape: normal(*shape) / (normal(3, *shape).square().mean(0)).sqrt()
    found: dict[str, Task] = {}
    x = student(1500, 8)
    y = (x[:, :1] - 0.7 * x[:, 1:2] * x[:, 2:3].tanh() + 0.3 * student(1500, 1)) * 2
    data = _split(x, y, 1000)
    found["heavy tails"] = Task(*data, _net(8, 32, 32, 1), F.mse_loss, 32, ("momentum", "adamw", "rmsprop"))
    centres = 1.2 * normal(4, 10)
    labels = torch.randint(4, (1200,), generator=g)
    x = centres[labels] + normal(1200, 10)
    noisy = torch.where(torch.rand(1200, generator=g) < 0.2, torch.randint(4, (1200,), generator=g), labels)
    found["two a batch"] = Task(*_split(x, noisy, 800), _net(10, 24, 4), F.cross_entropy, 2, ("sgd", "rmsprop"))
    teacher = _net(12, 20, 1, act=nn.Tanh)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = teacher()
    x = normal(1600, 12)
    with torch.no_grad():
        y = 4 * network(2 * x) + 0.1 * normal(1600, 1)
    data = _split(x, y, 1000)
    student_net = _net(12, 40, 40, 1, act=nn.Tanh)
    found["teacher"] = Task(*data, student_net, F.mse_loss, 64, ("momentum", "adamw", "rmsprop"), "warmup-cosine")
    from sklearn.datasets import load_breast_cancer, load_digits

    cancer = load_breast_cancer()
    order = torch.randperm(len(cancer.target), generator=g)
    x = torch.tensor(cancer.data, dtype=torch.float32)[order]
    data = _split((x - x.mean(0)) / x.std(0), torch.tensor(cancer.target)[order], 400)
    found["clinic"] = Task(*data, _net(30, 32, 2), F.cross_entropy, 16, ("sgd", "rmsprop"))
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=g)
    x, labels = torch.tensor(digits.data, dtype=torch.float32)[order] / 8 - 0.6, torch.tensor(digits.target)[order]
    noisy = torch.where(torch.rand(len(labels), generator=g) < 0.3, torch.randint(10, (len(labels),), generator=g), labels)
    found["noisy labels"] = Task(*_split(x, noisy, 1200), _net(64, 48, 10), F.cross_entropy, 32, ("momentum", "rmsprop"))
    found["autoencoder"] = Task(*_split(x, x, 1200), _net(64, 32, 8, 32, 64), F.mse_loss, 64, ("momentum", "adamw"))
    return found


def problem_of(task: Task, optimizer: str, lr: float) -> etastar.Problem:
    """The task under an optimizer, with `lr` as the rate in use."""
    kind, settings, _ = OPTIMIZERS[optimizer]
    return etastar.Problem(
        model=task.model,
        optimizer=lambda model: kind(model.parameters(), lr=lr, **settings),
        loss=task.loss,
        train=task.train,
        valid=task.valid,
        batch_size=task.batch_size,
        steps=STEPS,
        schedule=task.schedule,
    )


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a task, optimizer, start and seed of the search."""
    torch.set_num_threads(1)
    for name, task in tasks().items():
        for optimizer in task.optimizers:
            usual = OPTIMIZERS[optimizer][2]
            oracle = Oracle(task, problem_of(task, optimizer, usual))
            for start in STARTS:
                problem = problem_of(task, optimizer, usual if start == "usual" else float(start))
                for seed in config["seeds"]:
                    answer = etastar.find(problem, effort="quick", seed=seed, options=etastar.Options(store=":memory:"))
                    lr = answer.lr
                    yield {
                        "task": name,
                        "optimizer": optimizer,
                        "start": start,
                        "seed": seed,
                        "status": lr.status.value,
                        "lr": lr.value,
                        "low": lr.low,
                        "high": lr.high,
                        "best": oracle.best,
                        "regret": None if lr.value is None else oracle.regret(lr.value),
                        "holds": lr.value is not None and lr.low <= oracle.best <= lr.high,
                        "full_runs": answer.cost["full_runs"],
                        "flags": list(answer.flags),
                    }


class Oracle:
    """The best rate of a grid of ordinary trainings, and what any other loses against it on seeds of their own."""

    def __init__(self, task: Task, problem: etastar.Problem) -> None:
        from etastar.engine.choice import choose

        self._task, self._problem = task, problem
        self._engine = choose(problem, Criterion(loss=-math.inf)).build("cpu")
        grid = [quantise(10 ** (k / RATES_PER_DECADE)) for k in range(-5 * RATES_PER_DECADE, 1 + RATES_PER_DECADE)]
        nats = dict(zip(grid, self._nats(grid, "choose"), strict=True))
        self.best = min(grid, key=lambda lr: nats[lr])
        self._least = self._nats([self.best], "score")[0]

    def regret(self, lr: float) -> float:
        """Nats lost at `lr`."""
        return self._nats([lr], "score")[0] - self._least

    def _nats(self, rates: list[float], purpose: str) -> list[float]:
        """Mean loss at each rate; a failed lane counts as 1.5 times its loss at the start."""
        policy, criterion = self._problem.policy, Criterion(loss=-math.inf)
        seeds = [derive_seed(0, "wrong starts", purpose, i) for i in range(SEEDS)]
        lanes = [Lane(quantise(lr), seed, STEPS, criterion, Until.END, policy) for lr in rates for seed in seeds]
        done = dict(self._engine.train(self._problem, lanes))
        values = [self._task.nats(_end(done[i])) for i in range(len(lanes))]
        return [statistics.fmean(values[i : i + SEEDS]) for i in range(0, len(values), SEEDS)]


def _end(outcome: Outcome) -> float:
    worst = 1.5 * (outcome.first_valid_loss or outcome.first_loss)
    loss = outcome.valid_loss
    failed = outcome.status is LaneStatus.DIVERGED or loss is None or not math.isfinite(loss)
    return worst if failed or loss is None else min(loss, worst)


def summary(found: list[dict[str, Any]]) -> str:
    """A row a start, then what went wrong."""
    lines = []
    for start in STARTS:
        some = [r for r in found if r["start"] == start]
        answered = [r for r in some if r["regret"] is not None]
        share = lambda count, n: f"{count / max(n, 1):.0%} ({count} of {n})"
        lines.append(
            [
                start,
                len(some),
                share(sum(r["regret"] < GOOD for r in answered), len(some)),
                share(len(some) - len(answered), len(some)),
                sum(r["regret"] > FAR for r in answered),
                share(sum(r["holds"] for r in answered), len(answered)),
                f"{statistics.fmean(r['full_runs'] for r in some):.2f}",
            ]
        )
    header = ["rate in use", "searches", "within 0.05 nats", "no answer", "worse by > 1 nat", "interval holds the best"]
    bad = [r for r in found if r["regret"] is None or r["regret"] >= GOOD]
    details = [
        [
            r["task"],
            r["optimizer"],
            r["start"],
            r["seed"],
            r["status"],
            "" if r["lr"] is None else f"{r['lr']:.2g}",
            f"{r['best']:.2g}",
            "" if r["regret"] is None else f"{r['regret']:+.2f}",
        ]
        for r in bad
    ]
    losing = table(["task", "optimizer", "rate in use", "seed", "status", "found", "best of the grid", "nats"], details)
    return table([*header, "full runs"], lines) + "\n\nThose that lost 0.05 nats or more, or have no answer:\n\n" + losing
