"""`etastar.predict` from Python: which networks the closed forms know, what multipliers do, and that nothing is touched."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar import Options, Precision, Problem, ProblemError, Status
from etastar.problems import builder
from etastar.problems.digits import cnn, digits_mlp, he, mlp
from etastar.problems.optimizers import optimizer_factory
from etastar.verbs.predict.predictions import NAMES

X = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 4


def plain(**changes) -> nn.Module:
    return he(nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)))


def problem(model=plain, optimizer=None, loss=F.cross_entropy, x=X, y=Y, data=None, **changes) -> Problem:
    return Problem(
        model=model,
        optimizer=optimizer or (lambda m: torch.optim.SGD(m.parameters(), lr=0.1)),
        train=(x, y) if data is None else data,
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


def test_any_batch_will_do():
    rows = {"x": X, "y": Y}
    answer = etastar.predict(problem(loss=None, loss_fn=lambda m, b: F.cross_entropy(m(b["x"]), b["y"]), data=rows))
    assert "loss_fn" in answer["kernel"].lr.reason and answer.lr.ok and answer.threshold is not None


LOSSES = {
    "mse": (F.mse_loss, F.one_hot(Y, 4).float()),
    "sum over outputs": (lambda z, t: 0.5 * (z - t).square().sum(1).mean(), F.one_hot(Y, 4).float()),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), Y),
    "ten times": (lambda z, t: 10 * F.cross_entropy(z, t), Y),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), Y),
    "class weights": (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 1.0])), Y),
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


def test_the_start_is_at_most_half_of_what_raises_the_loss_in_one_step():
    """One-dimensional and steep behind a flat start: the curvature at the start promises too much."""
    steep = Problem(
        model=lambda: nn.ParameterList([nn.Parameter(torch.tensor([0.1]))]),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss_fn=lambda m, b: (m[0][0] - 1 + 0 * b.mean()) ** 2 + torch.relu(m[0][0] - 0.2) ** 2 * 1e4,
        train=torch.ones(8, 1),
        batch_size=8,
        steps=20,
    )
    answer = etastar.predict(steep)
    assert answer["lambda1"].lr.require() == pytest.approx(0.5)
    assert answer.lr.require() <= answer["eta_c"].lr.require() / 2 * 1.001
    assert answer.start.startswith("half of eta_c") and answer.eta_star.low >= answer.lr.value


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


@pytest.mark.parametrize("name", ["digits-deep-mlp", "digits-cnn"])
def test_it_takes_less_than_a_hundred_forward_passes(name):
    """Of at most 512 samples: a second or two, counted so that no other process on the machine lengthens it."""
    plain, seen = builder(name)(), []

    def model():
        made = plain.model()
        made.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
        return made

    assert etastar.predict(plain.but(model=model)).samples == 512
    assert max(seen) <= 512 and len(seen) < 100


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


def one_hot(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.one_hot(labels, 10).to(z.dtype)


HELD_OUT = {
    "5x96": (lambda: mlp(5, 96), F.cross_entropy),
    "2x160, He": (lambda: he(mlp(2, 160)), F.cross_entropy),
    "7x96, He": (lambda: he(mlp(7, 96)), F.cross_entropy),
    "2x256": (lambda: mlp(2, 256), F.cross_entropy),
    "3x128, He, squared error": (lambda: he(mlp(3, 128)), lambda z, t: 0.5 * (z - one_hot(z, t)).square().sum(1).mean()),
    "cnn of 12": (lambda: cnn(12), F.cross_entropy),
}


@pytest.mark.slow
def test_eta_star_is_where_it_is_expected_on_networks_that_were_not_measured_before():
    precision, options = (
        Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1),
        Options(store=":memory:", workers=1),
    )
    inside = []
    for (model, loss), spec in product(HELD_OUT.values(), ("sgd", "momentum", "adam")):
        p = digits_mlp().but(model=model, loss=loss, optimizer=optimizer_factory(spec))
        truth = etastar.eta_star(p, precision=precision, options=options).estimate.value
        answer = etastar.predict(p, samples=256)
        if truth is not None:
            inside.append(answer.eta_star.low <= truth <= answer.eta_star.high)
            assert answer.lr.require() < truth, "the start is safe"
    assert len(inside) >= 15 and sum(inside) >= 0.8 * len(inside), inside
