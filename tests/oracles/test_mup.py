"""muP's two tables train the same network, the abc symmetry that makes them equal, what they are for (check 16)."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import ProblemError
from etastar.theory import depth_mup, mup_groups, mup_init_, mup_multipliers, mup_rules
from etastar.theory.mup import EXPONENTS, FORMS, Role, mup_rule

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": lambda groups, lr: torch.optim.Adam(groups, lr=lr, eps=1e-60)}
X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)).double(), torch.arange(64) % 3


class Mlp(nn.Module):
    """Weights and biases, each times its multiplier."""

    def __init__(self, width: int, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        sizes = (8, width, width, 3)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes)).double()
        self.multipliers = dict.fromkeys(dict(self.named_parameters()), 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            w = layer.weight * self.multipliers[f"layers.{i}.weight"]
            x = F.linear(x, w, layer.bias * self.multipliers[f"layers.{i}.bias"])
            x = torch.relu(x) if i < 2 else x
        return x


def trained(width: int, optimizer: str, form: str, lr: float = 0.05, steps: int = 6) -> list[float]:
    base, model = Mlp(8), Mlp(width)
    rules = mup_rules(model, base, optimizer=optimizer, form=form)
    mup_init_(model, base, form=form)
    model.multipliers = {name: rule.multiplier for name, rule in rules.items()}
    groups = [{"params": [p], "lr": lr * rules[name].lr} for name, p in model.named_parameters()]
    made = OPTIMIZERS[optimizer](groups, lr)
    losses = []
    for _ in range(steps):
        made.zero_grad()
        loss = F.cross_entropy(model(X), Y)
        loss.backward()
        made.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("width", [8, 32, 128])
def test_tables_3_and_9_train_the_same_network(optimizer, width):
    three, nine = (trained(width, optimizer, form) for form in FORMS)
    assert three == pytest.approx(nine, rel=1e-13)
    assert three[-1] != pytest.approx(three[0], rel=1e-3), "it moves"


@pytest.mark.parametrize("role", list(Role))
def test_the_tables_are_one_abc_class(role):
    """Multiplier x m^theta and initialisation x m^-theta need SGD's rate x m^-2 theta, Adam's x m^-theta."""
    (std3, mult3, sgd3, adam3), (std9, mult9, sgd9, adam9) = (EXPONENTS[form][role] for form in FORMS)
    theta = mult9 - mult3
    assert std9 == std3 - theta
    assert sgd9 == sgd3 - 2 * theta
    assert adam9 == adam3 - theta


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_of_the_outputs_do_not_depend_on_the_width(optimizer):
    """What muP is for: one step changes the outputs alike at every width; the same rate in a standard network does not."""
    growth = {kind: first_change(kind, optimizer, 512) / first_change(kind, optimizer, 128) for kind in ("muP", "standard")}
    assert 0.6 < growth["muP"] < 1.4
    assert growth["standard"] > 2.5


def first_change(kind: str, optimizer: str, width: int, seeds: int = 6) -> float:
    """Root mean square change of the outputs in one step, over seeds."""
    squares = []
    for seed in range(seeds):
        base, model = Mlp(32, seed), Mlp(width, seed)
        groups = [{"params": list(model.parameters()), "lr": 0.02}]
        if kind == "muP":
            groups = mup_groups(mup_init_(model, base), base, 0.02, optimizer=optimizer)
        before = model(X).detach()
        made = OPTIMIZERS[optimizer](groups, 0.02)
        F.cross_entropy(model(X), Y).backward()
        made.step()
        squares.append(float((model(X) - before).detach().square().mean()))
    return (sum(squares) / seeds) ** 0.5


def test_roles_are_read_off_the_shapes():
    def net(n: int) -> nn.Module:
        return nn.ModuleDict(
            {
                "table": nn.Embedding(50, n),
                "conv": nn.Conv2d(n, n, 3),
                "norm": nn.LayerNorm(n),
                "out": nn.Linear(n, 4),
            }
        )

    rates = mup_multipliers(net(32), net(8), optimizer="adamw")
    assert rates == {
        "table.weight": 1.0, "conv.weight": 0.25, "conv.bias": 1.0, "norm.weight": 1.0, "norm.bias": 1.0,
        "out.weight": 0.25, "out.bias": 1.0,
    }  # fmt: skip
    assert mup_multipliers(net(32), net(8))["table.weight"] == 4.0
    assert set(mup_multipliers(net(8), net(8)).values()) == {1.0}, "the same width: nothing changes"


def test_depth_mup_scales_branches_and_adams_rate():
    assert (depth_mup(8, 2).multiplier, depth_mup(8, 2).lr) == (0.5, 1.0)
    assert depth_mup(8, 2, optimizer=torch.optim.AdamW).lr == 0.5


MISTAKES = {
    "form": (lambda: mup_rule("input", 2, form="table8"), "form is 'table8'; expected one of table3, table9"),
    "role": (lambda: mup_rule("middle", 2), "role is 'middle'; expected one of input, hidden, output, fixed"),
    "ratio": (lambda: mup_rule("input", 0), "ratio is 0"),
    "optimizer": (lambda: mup_rule("input", 2, optimizer="lion"), "optimizer is 'lion'; muP's tables are for sgd"),
    "names": (lambda: mup_rules(nn.Linear(4, 8), nn.Linear(4, 4, bias=False)), "differ in parameters"),
    "kernel": (lambda: mup_rules(nn.Conv2d(4, 8, 3), nn.Conv2d(4, 4, 5)), "expected a difference in width only"),
    "depth": (lambda: depth_mup(0, 2), "depth is 0; expected an integer >= 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence(mistake):
    call, sentence = MISTAKES[mistake]
    with pytest.raises(ProblemError, match=sentence):
        call()
