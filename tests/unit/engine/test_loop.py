"""Lanes of the reference loop: pairing, stopping, statuses, and that nothing of the caller's is touched."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

import etastar
from etastar import Criterion, Lane, Problem
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine
from etastar.errors import UserCodeRaised
from etastar.problems.quadratic import quadratic

END = Until.END


def train(problem: Problem, lr: float, steps: int = 20, seed: int = 3, until: Until = END, **criterion) -> etastar.Outcome:
    return LoopEngine().train_lane(problem, Lane(lr, seed, steps, Criterion(**criterion), until))


def losses(outcome: etastar.Outcome) -> list[float]:
    return [row.loss for row in outcome.trace]


def test_the_same_seed_gives_the_same_start_at_every_rate_and_other_seeds_another(small):
    a, b, c = train(small, 0.01), train(small, 1.0), train(small, 0.01, seed=4)
    assert a.first_loss == b.first_loss != c.first_loss
    assert losses(a) == losses(train(small, 0.01))


def test_a_lane_does_not_depend_on_the_lanes_beside_it_nor_on_their_nans(small):
    lanes = [Lane(lr, 1, 20, until=END) for lr in (0.1, 1e9, 0.01)]
    together = [o for _, o in sorted(LoopEngine().train(small, lanes), key=lambda item: item[0])]
    assert together[1].status is LaneStatus.DIVERGED
    backwards = dict(LoopEngine().train(small, lanes[::-1]))
    for index, outcome in enumerate(together):
        assert losses(outcome) == pytest.approx(losses(backwards[2 - index]), rel=0, abs=0, nan_ok=True)


def test_a_lane_stops_at_success_and_a_longer_one_repeats_it(small):
    stopped = train(small, 0.3, steps=40, until=Until.SUCCESS)
    full = train(small, 0.3, steps=40)
    assert stopped.trained and stopped.reached == stopped.steps == full.reached < full.steps == 40
    assert losses(stopped) == losses(full)[: stopped.steps]
    window = losses(stopped)[-10:]
    assert sum(window) / 10 <= 0.8 * stopped.first_loss < sum(losses(stopped)[-11:-1]) / 10


def test_accuracy_needs_both_the_threshold_and_a_loss_no_worse_than_uninformed(small):
    assert train(small, 0.3, 40, accuracy=0.6, uninformed=1.0986).trained
    assert not train(small, 0.3, 40, accuracy=0.6, uninformed=1e-3).trained
    assert not train(small, 0.3, 40, accuracy=1.0, uninformed=1.0986).trained


def test_slow_diverged_and_dead_are_told_apart(data):
    def relu_net():
        return nn.Sequential(nn.Linear(6, 16, bias=False), nn.ReLU(), nn.Linear(16, 3, bias=False))

    problem = Problem(
        model=relu_net,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=(data[0].abs(), data[1]),
        batch_size=16,
        steps=60,
    )
    uninformed = {"accuracy": 0.99, "uninformed": 1.0986}
    assert train(problem, 1e-6, 60, **uninformed).status is LaneStatus.SLOW
    assert train(problem, 1e25, 60, **uninformed).status is LaneStatus.DIVERGED
    statuses = {train(problem, lr, 60, seed=s, **uninformed).status for lr in (20.0, 50.0) for s in range(12)}
    assert LaneStatus.DEAD in statuses, "positive inputs and a huge step kill every ReLU of some seeds"


def test_a_loss_that_blew_up_but_is_finite_counts_as_diverged():
    problem = quadratic()
    outcome = train(problem, 2.5, steps=200, loss=1e-9)
    assert outcome.status is LaneStatus.DIVERGED and outcome.steps < 200 and np.isfinite(outcome.end_loss)


def test_nothing_of_the_callers_is_changed(data):
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net(data[0]).sum().backward()
    optimizer.step()
    loader_generator = torch.Generator().manual_seed(9)
    loader = DataLoader(
        TensorDataset(*data), batch_size=16, sampler=WeightedRandomSampler(torch.ones(96), 96, generator=loader_generator)
    )
    problem = Problem(
        model=lambda: copy.deepcopy(net),
        optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=0.01),
        loss=F.cross_entropy,
        train=loader,
        valid=data,
        steps=30,
    )

    def state():
        tensors = [*net.state_dict().values(), *(p.grad for p in net.parameters())]
        tensors += [v for s in optimizer.state.values() for v in s.values()]
        randomness = [torch.get_rng_state(), loader_generator.get_state(), torch.tensor(np.random.get_state()[1])]
        settings = (torch.get_num_threads(), net.training, random.getstate(), torch.backends.cudnn.allow_tf32)
        return [t.clone() for t in (*tensors, *randomness)], settings

    before = state()
    answer = etastar.find(problem, effort="glance", options=etastar.Options(store=":memory:", workers=1))
    assert answer.runs.gradient_steps > 10
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


class Rows(Dataset):
    """A map-style dataset with a random transform."""

    def __init__(self, data):
        self.x, self.y = data

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + 0.01 * torch.randn(6) + 0.01 * random.random() + 0.01 * np.random.rand(), self.y[i]


class Stream(IterableDataset):
    def __init__(self, data):
        self.x, self.y = data

    def __iter__(self):
        return iter(zip(self.x, self.y, strict=True))


def collate_dict(samples):
    return {"x": torch.stack([x for x, _ in samples]).float(), "y": torch.stack([y for _, y in samples])}


@pytest.mark.parametrize("kind", ["dataset", "loader", "shuffled loader", "weighted loader", "iterable loader", "list"])
def test_every_source_of_data_trains_and_repeats(kind, data, small):
    source = {
        "dataset": lambda: Rows(data),
        "loader": lambda: DataLoader(TensorDataset(*data), batch_size=16),
        "shuffled loader": lambda: DataLoader(Rows(data), batch_size=16, shuffle=True, num_workers=2),
        "weighted loader": lambda: DataLoader(Rows(data), batch_size=16, sampler=WeightedRandomSampler([1.0] * 96, 96)),
        "iterable loader": lambda: DataLoader(Stream(data), batch_size=16),
        "list": lambda: list(zip(*data, strict=True)),
    }[kind]()
    problem = small.but(train=source, batch_size=None if "loader" in kind else 16)
    if kind != "list" and "loader" not in kind:
        torch.manual_seed(123)
    first = losses(train(problem, 0.1))
    torch.manual_seed(7)
    random.seed(7)
    assert first == losses(train(problem, 0.1))
    assert first != losses(train(problem, 0.1, seed=8))
    assert first[-1] < first[0]


def test_a_shuffled_loader_of_tensors_is_the_same_problem_as_the_tensors(small, data):
    loader = small.but(train=DataLoader(TensorDataset(*data), batch_size=16, shuffle=True, drop_last=True), batch_size=None)
    assert losses(train(loader, 0.1)) == losses(train(small, 0.1))


def test_dict_batches_and_a_loss_of_model_and_batch(small, data):
    problem = Problem(
        model=small.model,
        optimizer=small.optimizer,
        loss_fn=lambda model, batch: F.cross_entropy(model(batch["x"]), batch["y"]),
        metric_fn=lambda model, batch: (model(batch["x"]).argmax(1) == batch["y"]).float().mean(),
        train={"x": data[0], "y": data[1]},
        batch_size=16,
        steps=40,
    )
    ours, plain = train(problem, 0.1), train(small, 0.1)
    assert losses(ours) == losses(plain)
    assert ours.end_accuracy == pytest.approx(plain.end_accuracy)


def test_a_metric_leaves_no_trace_in_batchnorm_or_dropout(data):
    def model():
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))

    arguments = {
        "model": model,
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "loss_fn": lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]),
        "train": data,
        "valid": data,
        "steps": 20,
    }
    with_metric = Problem(**arguments, metric_fn=lambda m, batch: float(m(batch[0]).sum()) * 0)
    a, b = train(Problem(**arguments), 0.1), train(with_metric, 0.1)
    assert losses(a) == losses(b) and a.valid_loss == b.valid_loss


def test_lazy_modules_and_tied_weights_train(data):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LazyLinear(6), nn.Linear(6, 6)
            self.out = nn.Linear(6, 3)

        def forward(self, x):
            return self.out(F.linear(self.first(x).relu(), self.second.weight) + F.linear(x, self.second.weight))

    problem = Problem(
        model=Tied, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1), loss=F.cross_entropy, train=data, steps=20
    )
    assert losses(train(problem, 0.1))[-1] < losses(train(problem, 0.1))[0]


def test_the_users_own_loop_is_watched_and_stopped():
    calls = []

    def loop(lr, seed, report):
        w = 1.0
        for step in range(1000):
            calls.append(step)
            if not report(loss=w * w, accuracy=0.0, grad_norm=abs(2 * w)):
                return
            w -= lr * 2 * w

    problem = Problem.from_loop(loop, steps=50, loss_threshold=0.25)
    trained = train(problem, 0.1, 50, until=Until.SUCCESS, loss=0.25)
    assert trained.trained and len(calls) == trained.steps < 50
    assert train(problem, 1.5, 50, loss=0.25).status is LaneStatus.DIVERGED
    assert train(problem, 1e-6, 50, loss=0.25).status is LaneStatus.SLOW


def test_an_exception_of_the_users_loop_is_a_failed_lane_with_its_text_unless_it_follows_divergence():
    def raises(lr, seed, report):
        report(loss=float("nan") if lr > 1 else 1.0)
        raise FloatingPointError("overflow in my loop")

    problem = Problem.from_loop(raises, steps=5, loss_threshold=0.1)
    assert train(problem, 2.0, 5).status is LaneStatus.DIVERGED
    raised = train(problem, 0.5, 5)
    assert raised.status is LaneStatus.RAISED and raised.steps == 1 and raised.flags == ("raised",)
    with pytest.raises(UserCodeRaised, match=r"your code raised FloatingPointError: overflow in my loop \(.*test_loop.py"):
        raised.require()


def test_epoch_rows_add_up(small):
    outcome = train(small, 0.1, steps=20)
    assert [(e.step0, e.step1) for e in outcome.epochs] == [(0, 6), (6, 12), (12, 18), (18, 20)]
    assert outcome.epochs[0].lr_sum == pytest.approx(0.6) and outcome.epochs[0].lr_sq_sum == pytest.approx(0.06)
    assert outcome.epochs[0].loss_mean == pytest.approx(np.mean(losses(outcome)[:6]))


def test_numerics_are_put_back(small):
    torch.set_num_threads(2)
    try:
        train(small, 0.1)
        assert torch.get_num_threads() == 2
        assert float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) != 0.0
    finally:
        torch.set_num_threads(1)


@pytest.mark.gpu
def test_cuda_lanes_start_from_the_same_weights_and_train(small):
    lane = Lane(0.1, 3, 20, until=END)
    gpu, cpu = LoopEngine("cuda").train_lane(small, lane), LoopEngine("cpu").train_lane(small, lane)
    assert losses(gpu) == pytest.approx(losses(cpu), rel=1e-4)
