"""`watch`: what it warns of, when, and what becomes of a training that listens."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.adapters.watch import Watcher
from etastar.errors import ProblemError

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 6, generator=GENERATOR)
Y = X[:, :3].argmax(1)
BOUND = 1.2


class Bowl:
    """x'x of one number, curvature 2: gradient descent diverges beyond a rate of 1."""

    def __init__(self, kind: type = torch.optim.SGD, lr: float = 0.5, **settings) -> None:
        self.x = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        self.model = nn.ParameterList([self.x])
        self.optimizer = kind([self.x], lr=lr)
        self.looked = 0
        self.watcher = etastar.watch(self.optimizer, self.model, self.kept, **{"bound": BOUND, **settings})

    def kept(self) -> torch.Tensor:
        self.looked += 1
        return (self.x**2).sum()

    def step(self, lr: float | None = None):
        if lr is not None:
            self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.zero_grad()
        loss = (self.x**2).sum()
        loss.backward()
        caution = self.watcher.step(loss)
        self.optimizer.step()
        return caution


def test_it_warns_at_the_step_the_rate_passes_the_bound_and_names_the_rate_that_would_do():
    bowl = Bowl()
    cautions = [bowl.step(lr) for lr in (0.5, 1.1, 1.3, 1.4, 0.9, 1.25)]
    assert [caution is not None for caution in cautions] == [False, False, True, False, False, True]
    first = cautions[2]
    assert first is not None and bowl.watcher.cautions == [first, cautions[5]]
    assert (first.step, first.rate) == (2, 1.3)
    assert first.value == pytest.approx(1.3)  # 1.3 x 2 / 2
    assert first.factor == pytest.approx(0.5 * BOUND / 1.3)


def test_a_warning_is_logged_once_as_a_sentence(caplog):
    bowl = Bowl()
    for lr in (0.5, 1.3, 1.4):
        bowl.step(lr)
    (record,) = caplog.records
    assert record.name == "etastar"
    assert record.getMessage() == (
        "step 1: this rate will diverge: rate x lambda1, as a share of the edge 2 / lambda, is 1.3, above 1.2; the rate is "
        "1.3: multiply it by 0.46 (controller.rescale(0.46)), or go back as well (controller.rollback(0.46))"
    )


def test_it_looks_at_its_cadence_and_where_the_rate_rises_by_half():
    bowl = Bowl(lr=0.1, every=10)
    for step in range(25):
        bowl.step(0.2 if step >= 14 else 0.1)
    assert [look.step for look in bowl.watcher.looks] == [0, 10, 15]
    assert bowl.looked == 3  # five steps at least lie between two looks
    assert [look.edge for look in bowl.watcher.looks] == pytest.approx([0.1, 0.1, 0.2])


def test_the_move_of_an_update_is_told_at_the_next_look():
    bowl = Bowl(lr=0.1, every=4)
    for _ in range(5):
        bowl.step()
    first, second = bowl.watcher.looks
    assert math.isnan(first.move) and second.move == pytest.approx(0.2)  # x <- x - .1 x 2 x
    assert first.norm == pytest.approx(2.0)


def test_a_rate_that_begins_at_zero_is_watched_from_the_next_look_on():
    bowl = Bowl(every=100)
    assert [bowl.step(lr) is not None for lr in (0.0, 0.4, 0.5, 0.5, 0.5, 1.3)] == [False] * 5 + [True]


def test_a_loss_or_a_gradient_that_is_not_finite_is_warned_of():
    bowl = Bowl()
    caution = bowl.watcher.step(float("nan"))
    assert str(caution).startswith(
        "step 0: this rate will diverge: the loss is not finite; the rate is 0.5: multiply it by 0.5"
    )
    other = Bowl()
    other.x.grad = torch.tensor([math.inf], dtype=torch.float64)
    assert "the gradient's norm is not finite" in str(other.watcher.step(1.0))


def test_without_a_known_edge_the_gradients_norm_is_watched_and_that_is_said(caplog):
    bowl = Bowl(torch.optim.Adagrad)
    assert caplog.messages == [
        "the edge of stability is not looked at: the edge of Adagrad is not known; the gradient's norm is watched instead"
    ]
    bowl.step()
    with torch.no_grad():
        bowl.x.fill_(1e3)
    caution = bowl.step()
    assert caution is not None and "the gradient's norm, in its lowest so far, is" in str(caution)
    assert bowl.looked == 0


def test_a_loss_without_second_derivatives_is_watched_by_its_norm(caplog):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, slope):
            return slope

    x = nn.Parameter(torch.ones(2))
    watcher = Watcher(torch.optim.SGD([x], lr=0.1), nn.ParameterList([x]), lambda: Once.apply(x).sum())
    assert watcher.step(1.0) is None and len(watcher.looks) == 1
    assert "Once is once differentiable; the gradient's norm is watched instead" in caplog.messages[0]


@pytest.mark.parametrize("heed", ["cut", "rollback"])
def test_a_training_that_heeds_the_warning_is_saved(heed):
    """A warm-up to a rate far beyond the edge: left alone it diverges; cut at the warning, or rolled back, it does not."""
    assert not warmed_up("nothing") < 0.9 * math.log(3)  # three classes as likely as one another: nothing was learned
    assert warmed_up(heed) < 0.3 * math.log(3)


def warmed_up(heed: str) -> float:
    """The loss after 120 steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3))
    sgd = torch.optim.SGD(model.parameters(), lr=8.0, momentum=0.9)
    controller = etastar.Controller(sgd, "wsd:warmup=0.9,decay=0.05", steps=120, model=model, keep=3, every=5)
    watcher = etastar.watch(sgd, model, lambda: F.cross_entropy(model(X), Y))
    while controller.taken < 120:
        sgd.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        controller.step(loss=loss)
        if caution := watcher.step(loss):
            if heed == "rollback" and controller.taken >= 5:
                controller.rollback(caution.factor)
                continue
            if heed == "cut":
                controller.rescale(caution.factor)
                controller.step(loss=loss)
        sgd.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(X), Y))


@pytest.mark.parametrize("settings, why", [({"bound": 0}, "bound is 0"), ({"every": 0}, "every is 0")])
def test_bad_settings_are_refused(settings, why):
    with pytest.raises(ProblemError, match=why):
        Bowl(**settings)


def test_a_cut_lasts_and_a_rollback_keeps_it():
    x = nn.Parameter(torch.tensor([1.0]))
    sgd = torch.optim.SGD([x], lr=0.1)
    controller = etastar.Controller(sgd, "constant", keep=2, every=1)

    def step() -> float:
        x.grad = torch.ones(1)
        rate = controller.step()
        sgd.step()
        return rate

    assert step() == 0.1
    controller.rescale(0.5)
    assert step() == 0.05
    controller.rollback(0.5)
    assert step() == 0.025
    with pytest.raises(ProblemError, match="rescale's factor is 0"):
        controller.rescale(0)
