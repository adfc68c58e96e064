"""A forward pass or a loss that changes from step to step is trained as it runs, never frozen at its first step."""

from __future__ import annotations

import collections
import itertools
import random
import time
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Criterion, Lane, LaneEngine, Problem
from etastar.core import Until
from etastar.core.kept import Kept
from etastar.engine import LoopEngine
from etastar.engine.choice import choose
from etastar.errors import DoesNotApply

X = torch.randn(128, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + 2 * (X[:, 1] > 0).long()
CALLS, TICKS, RNG = [0], itertools.count(), np.random.default_rng(0)
GONE = 0


def later(outputs, gone):
    """The outputs; much smaller once `gone`."""
    return 0.05 * outputs if gone else outputs


class Net(nn.Module):
    """A plain chain, in a class of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 12), nn.Linear(12, 4)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


class Plain(Net):
    pass


class Counted(Net):
    n = 0

    def forward(self, x):
        self.n += 1
        return later(super().forward(x), self.n > 20)


class Annealed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.heat = 1.0

    def forward(self, x):
        self.heat *= 0.99
        return later(super().forward(x), self.heat < 0.8)


class InADeque(Net):
    def __init__(self) -> None:
        super().__init__()
        self.seen = collections.deque(maxlen=3)

    def forward(self, x):
        self.seen.append(len(self.seen))
        return super().forward(x)


class InANestedObject(Net):
    def __init__(self) -> None:
        super().__init__()
        self.config = types.SimpleNamespace(schedule=types.SimpleNamespace(t=0))

    def forward(self, x):
        self.config.schedule.t += 1
        return later(super().forward(x), self.config.schedule.t > 20)


class InADict(Net):
    def __init__(self) -> None:
        super().__init__()
        self.state = {"levels": [{"t": 0}]}

    def forward(self, x):
        self.state["levels"][0]["t"] += 1
        return super().forward(x)


class InAGlobalList(Net):
    def forward(self, x):
        CALLS[0] += 1
        return super().forward(x)


class InAGlobalNumber(Net):
    def forward(self, x):
        global GONE
        GONE += 1
        return super().forward(x)


class InAnIterator(Net):
    def forward(self, x):
        return later(super().forward(x), next(TICKS) > 10**6)


class InABuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("t", torch.zeros(()))

    def forward(self, x):
        self.t = self.t + 1
        return later(super().forward(x), float(self.t) > 20)


class InABufferInPlace(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("t", torch.zeros(()))

    def forward(self, x):
        self.t += 1
        return later(super().forward(x), float(self.t) > 20)


class InATensor(Net):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(4)

    def forward(self, x):
        out = super().forward(x)
        self.mean = 0.9 * self.mean + 0.1 * out.detach().mean(0)
        return out


class Dice(Net):
    def forward(self, x):
        return later(super().forward(x), random.random() < 1e-9)


class DiceOfItsOwn(Net):
    def forward(self, x):
        return later(super().forward(x), RNG.random() < 1e-9)


class TorchDice(Net):
    def forward(self, x):
        return later(super().forward(x), float(torch.rand(())) < 1e-9)


class Clock(Net):
    def forward(self, x):
        return later(super().forward(x), time.time() < 0)


class ShrinkingDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.drop = Net(), nn.Dropout(0.0)

    def forward(self, x):
        self.drop.p = min(self.drop.p + 1e-4, 0.5)
        return self.net(self.drop(x))


def with_hook() -> nn.Module:
    net, count = Net(), [0]

    def hook(module, inputs, output):
        count[0] += 1
        return later(output, count[0] > 20)

    net.a.register_forward_hook(hook)
    return net


def problem(model, loss=F.cross_entropy, steps=60, **changes) -> Problem:
    sgd = lambda m: torch.optim.SGD(m.parameters(), lr=0.05)
    return Problem(
        **({"model": model, "optimizer": sgd, "loss": loss, "train": (X, Y), "batch_size": 16, "steps": steps} | changes)
    )


REMEMBERING = (
    Counted, Annealed, InADeque, InANestedObject, InADict, InAGlobalList, InAGlobalNumber, InAnIterator, InABuffer,
    InABufferInPlace, InATensor, Dice, DiceOfItsOwn, TorchDice, Clock, ShrinkingDropout, with_hook,
)  # fmt: skip
REASONS = r"by itself|clock|random numbers|hooks|belongs to no layer|layer Dropout|operation detach|vectorise"
LANES = [Lane(lr, seed, 40, Criterion(loss=-1.0), Until.END) for seed, lr in enumerate((0.05, 0.1))]


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
@pytest.mark.parametrize("model", REMEMBERING)
def test_what_a_forward_pass_remembers_keeps_lanes_apart(model, kernel):
    with pytest.raises(DoesNotApply, match=REASONS):
        LaneEngine(kernel).try_train(problem(model), LANES)


def test_a_plain_network_of_a_class_of_the_users_is_still_trained_by_the_fast_kernel():
    chosen = choose(problem(Plain), Criterion())  # which engine wins the trial is a matter of time; that it may is not
    assert "mlp" not in dict(chosen.refused) and any(name.startswith("mlp x") for name in chosen.times)


@pytest.mark.parametrize("model", [Counted, InANestedObject, InABufferInPlace, with_hook])
def test_the_engine_chosen_trains_it_as_the_loop_does(model):
    chosen = choose(problem(model), Criterion())
    assert chosen.engine in ("sequential", "loop") and "mlp" in dict(chosen.refused)
    found = dict(chosen.build("cpu").train(problem(model), LANES))
    for index, lane in enumerate(LANES):
        truth = LoopEngine().train_lane(problem(model), lane)
        assert found[index].end_loss == pytest.approx(truth.end_loss, rel=1e-4)
    fresh = LoopEngine().train_lane(problem(Plain), LANES[0])
    assert abs(found[0].end_loss - fresh.end_loss) > 0.05, "it must matter that it changes"


def test_a_lane_engine_asked_for_in_python_sends_such_lanes_to_the_loop():
    found = dict(LaneEngine("mlp").train(problem(Counted), LANES))
    assert found[1].end_loss == pytest.approx(LoopEngine().train_lane(problem(Counted), LANES[1]).end_loss, rel=1e-6)


def counting_loss(outputs, targets):
    CALLS[0] += 1
    return F.cross_entropy(outputs, targets)


class Warming:
    """A callable object: its weight grows with its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, outputs, targets):
        self.calls += 1
        return F.cross_entropy(outputs, targets) * min(self.calls / 20, 1.0)


WARMING = Warming()


@pytest.mark.parametrize("loss", [counting_loss, Warming(), lambda o, t: WARMING(o, t)])
def test_what_a_loss_remembers_keeps_lanes_apart(loss):
    for kernel in ("mlp", "vmap"):
        with pytest.raises(DoesNotApply, match=r"training changes (CALLS|Warming\.calls) by itself"):
            LaneEngine(kernel).try_train(problem(Plain, loss), LANES)


def test_a_cache_that_is_filled_once_and_a_result_that_is_left_lying_do_not_keep_lanes_apart():
    class Caching(Net):
        scale = None

        def forward(self, x):
            if self.scale is None:
                self.scale = 1.0
            self.last = super().forward(x)
            return later(self.last, self.scale != 1.0)

    lanes = LaneEngine("mlp", dtype=torch.float64).try_train(problem(Caching), LANES)
    truth = LoopEngine(dtype=torch.float64).train_lane(problem(Caching), LANES[0])
    assert lanes[0].end_loss == pytest.approx(truth.end_loss, rel=1e-10)


def test_objects_are_put_back_and_variables_of_others_are_only_noticed():
    log, weights = [], torch.ones(3)

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.zeros(()))
            self.history = collections.deque(maxlen=2)

        def forward(self, value):
            self.scale.mul_(0.9).add_(0.1 * value)
            self.history.append(value)
            log.append(value)
            return value / self.scale * weights.sum()

    loss = Scaled()
    kept = Kept([loss])
    for value in (1.0, 2.0, 3.0):
        loss(value)
    words = {place.in_words for place in kept.changes()}
    assert words == {"Scaled.scale", "Scaled.history", "log"}
    kept.put_back()
    assert float(loss.scale) == 0.0 and not loss.history and log == [1.0, 2.0, 3.0]
