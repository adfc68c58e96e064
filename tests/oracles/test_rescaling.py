"""Dimensional analysis, step for step in float64 (checks 2 and 3 of the theory, and the unit of the loss)."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import ProblemError, rescale_lr
from etastar.theory import rescale_init

LAYERS = 4
OPTIMIZERS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr, eps=1e-60),
    "nadam": lambda p, lr: torch.optim.NAdam(p, lr=lr, eps=1e-60),
    "adamax": lambda p, lr: torch.optim.Adamax(p, lr=lr, eps=1e-60),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr, eps=1e-60),
    "adagrad": lambda p, lr: torch.optim.Adagrad(p, lr=lr, eps=1e-60),
    "rprop": lambda p, lr: torch.optim.Rprop(p, lr=lr, step_sizes=(1e-60, 1e60)),
}
RATES = {"sgd": 0.02, "momentum": 0.005, "nesterov": 0.005}


def train(optimizer: str, lr: float, s: float = 1, t: float = 1, a: float = 1, init: float = 1, steps: int = 20):
    """(losses, weights after) of a bias-free ReLU network of 4 weight layers on inputs x s, targets x t, loss x a."""
    torch.manual_seed(0)
    sizes = [6, 16, 16, 16, 3]
    layers = [layer for n, m in pairwise(sizes) for layer in (nn.Linear(n, m, bias=False), nn.ReLU())]
    model = nn.Sequential(*layers[:-1]).double()
    x, y = torch.randn(32, 6, dtype=torch.float64), torch.randn(32, 3, dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(init * 6**0.5)
    made = OPTIMIZERS[optimizer](model.parameters(), lr)
    losses = []
    for _ in range(steps):
        made.zero_grad()
        loss = a * 0.5 * (model(s * x) - t * y).square().sum(1).mean()
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
    return torch.tensor(losses, dtype=torch.float64), [p.detach() for p in model.parameters()]


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("s", "t", "a"), [(2, 2, 1), (3, 0.5, 1), (0.25, 1, 1), (1, 7, 1), (1, 1, 64), (3, 0.5, 0.1)])
def test_the_rescaled_rate_trains_the_same_network(optimizer, s, t, a):
    lr = RATES.get(optimizer, 0.003)
    settings = {"inputs": s, "targets": t, "weight_layers": LAYERS}
    init = rescale_init(**settings)
    before, weights = train(optimizer, lr)
    after, scaled = train(optimizer, rescale_lr(lr, **settings, loss_scale=a, optimizer=optimizer), s, t, a, init)
    assert before[-1] < 0.7 * before[0], "it trains"
    assert far(after / (t * t * a), before) < 1e-12
    assert max(far(x / init, w) for x, w in zip(scaled, weights, strict=True)) < 1e-12


def test_doubling_inputs_and_targets_divides_sgds_rate_by_exactly_four():
    assert (rescale_lr(0.1, inputs=2, targets=2), rescale_lr(0.3, inputs=2, targets=2, optimizer="adam")) == (0.025, 0.3)
    assert rescale_init(inputs=2, targets=2) == 1
    (before, weights), (after, same) = train("sgd", 0.02), train("sgd", 0.005, 2, 2)
    assert torch.equal(after, 4 * before), "powers of two round to nothing"
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))


def test_the_old_rate_does_not_train_the_same_network():
    """Negative control: without the law, and without scaling the initialisation where that is needed."""
    before, _ = train("sgd", 0.02)
    assert far(train("sgd", 0.02, 2, 2)[0] / 4, before) > 0.1
    lr = rescale_lr(0.02, inputs=3, targets=0.5, weight_layers=LAYERS)
    assert far(train("sgd", lr, 3, 0.5, init=1)[0] / 0.25, before) > 0.1


def test_biases_and_cross_entropy_have_no_such_law():
    torch.manual_seed(0)
    x, y = torch.randn(32, 6).double(), torch.randint(3, (32,))
    losses = []
    for s, lr in ((1, 0.1), (2, 0.025)):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 16, bias=False), nn.ReLU(), nn.Linear(16, 3, bias=False)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(s * x), y)
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert abs(losses[1] / losses[0] - 1) > 1e-3


def test_optimizers_are_known_by_name_class_or_instance():
    parameter = [nn.Parameter(torch.zeros(1))]
    for given in ("Adam", torch.optim.Adam, torch.optim.Adam(parameter)):
        assert rescale_lr(0.1, loss_scale=9, optimizer=given) == 0.1
    assert rescale_lr(0.1, inputs=4, targets=1, weight_layers=2, optimizer="adafactor") == 0.1
    assert rescale_lr(0.1, inputs=4, targets=1, weight_layers=2, optimizer="muon") == 0.05


MISTAKES = {
    "layers": (
        {"inputs": 3, "targets": 0.5},
        "weight_layers is None; expected the number of weight layers, since inputs x 3",
    ),
    "no layer": ({"inputs": 3, "weight_layers": 0}, "weight_layers is 0"),
    "optimizer": ({"optimizer": "lbfgs"}, "optimizer is 'lbfgs'; expected one of sgd"),
    "RAdam": ({"optimizer": "radam"}, "optimizer is 'radam'"),  # its first steps are momentum's: no law
    "class": ({"optimizer": torch.optim.Adadelta}, "optimizer is 'Adadelta'"),
    "negative": ({"inputs": -1}, "inputs is -1; expected a finite number > 0"),
    "zero": ({"targets": 0}, "targets is 0"),
    "nan": ({"loss_scale": float("nan")}, "loss_scale is nan"),
    "rate": ({"lr": "fast"}, "lr is 'fast'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake):
    arguments, sentence = MISTAKES[mistake]
    with pytest.raises(ProblemError, match=sentence):
        rescale_lr(**{"lr": 0.1, **arguments})
