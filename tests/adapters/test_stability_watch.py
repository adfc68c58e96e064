"""`StabilityWatch`: which steps it compares, that training does not notice it, what it costs in passes, where rows go."""

from __future__ import annotations

import json
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import ProblemError
from etastar.adapters import StabilityWatch
from etastar.reports.stability_charts import stability_chart

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 6, generator=GENERATOR)
Y = X[:, :3].argmax(1)


class Noted:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, step, values) -> None:
        self.rows.append((step, dict(values)))

    def image(self, step, name, png) -> None:
        raise AssertionError("rows are numbers")


class Counted(nn.Module):
    """A network that counts its forward passes, and the backward passes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(16, 3)
        )
        self.forwards = self.backwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        z = self.body(x)
        if z.requires_grad:
            z.register_hook(self._back)
        return z

    def _back(self, gradient: torch.Tensor) -> None:
        self.backwards += 1


def trained(steps: int = 24, **settings):
    """(model, random numbers drawn after it, watch) of an ordinary loop; watched where there are settings."""
    torch.manual_seed(0)
    random.seed(0)
    model = Counted()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    watch = StabilityWatch(optimizer, model, (X[:32], Y[:32]), loss=F.cross_entropy, **settings) if settings else None
    for _ in range(steps):
        index = torch.randint(len(X), (32,))
        optimizer.zero_grad()
        F.cross_entropy(model(X[index]), Y[index]).backward()
        optimizer.step()
        if watch is not None:
            watch.step()
    return model, (torch.rand(3).tolist(), random.random()), watch


@pytest.mark.parametrize("settings", [{"every": 6}, {"every": 4, "k": 4, "split": True}])
def test_training_is_bit_for_bit_the_same_with_and_without(settings):
    plain, drawn, _ = trained()
    model, after, watch = trained(**settings)
    assert after == drawn
    states = plain.state_dict(), model.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(state.values() for state in states), strict=True))
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(plain.parameters(), model.parameters(), strict=True))
    assert watch.rows and all(block.forward > 0 for row in watch.rows for block in row.blocks)


def test_a_look_is_one_forward_and_one_backward_pass_and_a_comparison_none():
    """So 20 rows of two looks in 1,500 steps of as many samples are 2.7 % more passes."""
    plain, _, _ = trained()
    model, _, watch = trained(every=6)
    assert [(row.step, row.k) for row in watch.rows] == [(6, 1), (12, 1), (18, 1), (24, 1)]
    assert (model.forwards - plain.forwards, model.backwards - plain.backwards) == (8, 8)
    chain, _, watch = trained(every=6, k=6)
    assert [(row.step, row.k) for row in watch.rows] == [(12, 6), (18, 6), (24, 6)]
    assert (chain.forwards - plain.forwards, chain.backwards - plain.backwards) == (4, 4)
    probe = watch.probe
    first, second, before = probe.look(), probe.look(), (chain.forwards, chain.backwards)
    probe.change(first, second)
    assert (chain.forwards, chain.backwards) == before


def test_only_steps_that_the_optimizer_takes_are_counted_and_the_rate_is_theirs():
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    logger = Noted()
    watch = StabilityWatch(optimizer, model, (X, Y), loss=F.cross_entropy, every=2, logger=logger)
    for batch in range(12):  # three batches a step, and the rate is changed after each step
        F.cross_entropy(model(X), Y).backward()
        if batch % 3 == 2:
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.5
            optimizer.zero_grad()
        watch.step()
    assert [(row.step, row.rate) for row in watch.rows] == [(2, 0.05), (4, 0.0125)]
    (step, told), _ = logger.rows
    row = watch.rows[0]
    assert step == 2 and told["stability/A/model"] == row.blocks[0].forward and told["stability/F"] == row.kl
    assert told["stability/B/model"] == row.blocks[0].backward and told["lr/group_0"] == 0.025
    assert [r["blocks"][0]["forward"] for r in json.loads(watch.to_json())] == [r.blocks[0].forward for r in watch.rows]
    assert watch.table().splitlines()[1].split()[:2] == ["2", "0.05"]


def test_rows_are_drawn_as_they_are_and_no_rows_are_not_drawn():
    _, _, watch = trained(every=6)
    spec = stability_chart(watch.rows).to_dict()
    drawn = [(row["step"], row["block"], row["value"]) for data in spec["datasets"].values() for row in data]
    assert (6, "rate", 0.01) in drawn
    for row in watch.rows:
        assert all((row.step, b.name, x) in drawn for b in row.blocks for x in (b.forward, b.backward))
    assert stability_chart([]) is None and watch.rows[0]["body.0"].name == "body.0"


def test_settings_that_make_no_sense_are_refused():
    model = nn.Linear(6, 3)
    make = lambda **own: StabilityWatch(torch.optim.SGD(model.parameters()), model, (X, Y), loss=F.cross_entropy, **own)
    with pytest.raises(ProblemError, match="k is 3, and the watch has a row every 2 steps; expected k <= every"):
        make(every=2, k=3)
    with pytest.raises(ProblemError, match="every is 0; expected an integer >= 1, optimizer steps"):
        make(every=0)
