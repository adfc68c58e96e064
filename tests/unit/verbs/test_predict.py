"""`etastar.predict` from Python: which networks the closed forms know, what multipliers do, and that nothing is touched."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Problem, ProblemError, Status
from etastar.problems.digits import he
from etastar.verbs.rungs import NAMES

X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 4


def plain(**changes) -> nn.Module:
    return he(nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)))


def problem(model=plain, optimizer=None, loss=F.cross_entropy, x=X, y=Y, **changes) -> Problem:
    return Problem(
        model=model,
        optimizer=optimizer or (lambda m: torch.optim.SGD(m.parameters(), lr=0.1)),
        train=(x, y),
        batch_size=16,
        steps=20,
        **({"loss": loss} if loss else {}),
        **changes,
    )


class Written(nn.Module):
    """The same chain as a class with functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 64), nn.Linear(64, 4)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


class Scaled(Written):
    def forward(self, x):
        return 2 * super().forward(x)


class Flagged(nn.Linear):
    """Looks like a linear layer and is none."""

    def forward(self, x):
        return super().forward(x) ** 2


def fine_tuned() -> nn.Module:
    model = plain()
    with torch.no_grad():  # what training does: a direction far larger than random ones
        model[2].weight.add_(0.2 * torch.ones(64, 1) @ torch.ones(1, 64))
    return model


PLAIN = {
    "sequential": plain,
    "class": Written,
    "no biases": lambda: nn.Sequential(nn.Linear(16, 64, bias=False), nn.ReLU(), nn.Linear(64, 4, bias=False)),
    "linear": lambda: nn.Linear(16, 4),
    "dropout of nothing": lambda: nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Identity(), nn.Linear(64, 4)),
}
OTHERS = {
    "Tanh": (lambda: nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4)), "it has Tanh"),
    "LayerNorm": (lambda: nn.Sequential(nn.Linear(16, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4)), "normalisation"),
    "dropout": (lambda: nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4)), "dropout"),
    "arithmetic": (Scaled, "not a plain ReLU network"),
    "two linear layers in a row": (lambda: nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 4)), "do not alternate"),
    "ends in ReLU": (lambda: nn.Sequential(nn.Linear(16, 4), nn.ReLU()), "do not alternate"),
    "a subclass": (lambda: nn.Sequential(Flagged(16, 64), nn.ReLU(), nn.Linear(64, 4)), "not a plain ReLU network"),
    "fine-tuning": (fine_tuned, "do not look freshly drawn"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_relu_networks_are_recognised_however_they_are_written(name):
    answer = etastar.predict(problem(PLAIN[name]))
    assert answer.widths is not None and answer.widths[0] == 16 and answer.widths[-1] == 4
    assert answer["kernel"].lr.ok and answer["closed form"].lr.ok
    assert answer["kernel"].quantity.low <= answer["lambda1"].quantity.value <= answer["kernel"].quantity.high


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_refused_by_the_closed_forms_only(name):
    model, why = OTHERS[name]
    answer = etastar.predict(problem(model))
    assert answer.widths is None
    for rung in (answer["closed form"], answer["kernel"]):
        assert rung.lr.status is Status.OUTSIDE_THE_LAW and why in rung.lr.reason
    assert answer["lambda1"].lr.ok and answer.lr.ok and answer.eta_star.ok


def test_a_loss_fn_hides_the_outputs():
    answer = etastar.predict(problem(loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b[0]), b[1])))
    assert "loss_fn hides the outputs" in answer["kernel"].lr.reason and answer.lr.ok


LOSSES = {
    "mse": (F.mse_loss, F.one_hot(Y, 4).float()),
    "sum over outputs": (lambda z, t: 0.5 * (z - t).square().sum(1).mean(), F.one_hot(Y, 4).float()),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), Y),
    "ten times": (lambda z, t: 10 * F.cross_entropy(z, t), Y),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), Y),
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_curvature_of_any_loss_is_measured_not_looked_up(name):
    loss, y = LOSSES[name]
    answer = etastar.predict(problem(loss=loss, y=y))
    ratio = answer["lambda1"].quantity.value / answer["kernel"].quantity.value
    assert 0.5 <= ratio <= 2.5, "a wrong reduction would be off by 4, 10 or 64"


def two_rates(first: float):
    def optimizer(model: nn.Module) -> torch.optim.Optimizer:
        head, *rest = model.parameters()
        return torch.optim.SGD([{"params": [head], "lr": 0.1 * first}, {"params": rest}], lr=0.1)

    return optimizer


def test_the_multiplier_of_the_input_layer_enters_every_rung():
    wide = (X + 1).repeat(1, 4)  # many inputs, all alike
    model = lambda: he(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)))
    one, slow = (etastar.predict(problem(model, two_rates(m), F.mse_loss, wide, F.one_hot(Y, 4).float())) for m in (1, 0.01))
    for name in ("closed form", "kernel", "lambda1", "curvature along update", "eta_c", "Cauchy step"):
        assert slow[name].lr.require() > 1.1 * one[name].lr.require(), name
    for answer in (one, slow):
        assert 0.4 <= answer["kernel"].lr.require() / answer["lambda1"].lr.require() <= 2.5
    frozen = etastar.predict(problem(model, two_rates(0), F.mse_loss, wide, F.one_hot(Y, 4).float()))
    assert frozen["kernel"].lr.require() > slow["kernel"].lr.require()


def test_a_flat_start_is_not_taken_at_its_word():
    """torch's default initialisation: 1 / lambda1 is far too high for the steps that follow."""
    model = lambda: nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
    )
    answer = etastar.predict(problem(model))
    assert answer.start.startswith("closed form") and answer.lr.require() < 0.5 * answer["lambda1"].lr.require()


def test_other_optimizers():
    adam = etastar.predict(problem(optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3)))
    assert adam["Adam one-shot"].lr.ok and adam.start == "lambda1" and adam.threshold is None
    assert adam.lr.value == pytest.approx(19 / adam["lambda1"].quantity.value), "half of Adam's edge"
    assert "another metric" in adam["kernel"].lr.reason
    unknown = etastar.predict(problem(optimizer=lambda m: torch.optim.RMSprop(m.parameters(), lr=1e-3)))
    assert not unknown.lr.ok and "edge of RMSprop is not known" in unknown.lr.reason
    assert unknown["eta_c"].lr.ok and not unknown.eta_star.ok


def test_nothing_is_touched():
    made: list[nn.Module] = []
    model = plain()
    before = copy.deepcopy(model.state_dict())

    def factory() -> nn.Module:
        made.append(copy.deepcopy(model))
        return made[-1]

    torch.manual_seed(5)
    state = torch.get_rng_state()
    etastar.predict(problem(factory))
    assert torch.equal(torch.get_rng_state(), state)
    for one in made:
        assert all(torch.equal(p, before[name]) for name, p in one.state_dict().items())
        assert all(p.grad is None for p in one.parameters())


def test_the_answer_by_name():
    answer = etastar.predict(problem(), samples=32)
    assert tuple(rung.name for rung in answer.rungs) == NAMES and answer.samples == 32
    assert all(rung.validity for rung in answer.rungs)
    with pytest.raises(KeyError, match="no rung 'nothing'; there are closed form"):
        answer["nothing"]
    with pytest.raises(ProblemError, match=r"expected an etastar\.Problem"):
        etastar.predict(plain())
    with pytest.raises(ProblemError, match="seed is 'a'"):
        etastar.predict(problem(), seed="a")
