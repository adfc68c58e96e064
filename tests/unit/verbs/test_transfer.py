"""muP beside the standard parametrisation: the same at the base, and layers that move alike at every width."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from etastar import Problem, ProblemError
from etastar.core.randomness import isolated_randomness
from etastar.core.setup import set_up
from etastar.verbs.scale.transfer import in_mup, layer_moves

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


def problem(width: int, lr: float = 0.1, optimizer: type = torch.optim.SGD) -> Problem:
    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(8, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.ReLU(),
            nn.Linear(width, 2, bias=False),
        )

    return Problem(
        model=model,
        optimizer=lambda m: optimizer(m.parameters(), lr=lr),
        loss=F.cross_entropy,
        train=(X, Y),
        batch_size=64,
        steps=20,
    )


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [(torch.optim.SGD, {4.0, 1.0, 0.25}), (torch.optim.Adam, {1.0, 0.25}), (torch.optim.AdamW, {1.0, 0.25})],
)
def test_groups_get_the_tables_rates_and_the_readout_its_start(optimizer, rates):
    wide = in_mup(problem(64, optimizer=optimizer), problem(16))
    with isolated_randomness():
        plain, mup = (set_up(p, 1) for p in (problem(64, optimizer=optimizer), wide))
    assert {g.multiplier for g in mup.groups} == rates
    assert torch.equal(mup.model[4].weight, plain.model[4].weight / 2)  # 1 / sqrt(ratio 4)
    assert torch.equal(mup.model[0].weight, plain.model[0].weight)


def test_a_narrower_network_in_mup_of_a_wider_one_mirrors_the_wider_in_mup_of_the_narrower():
    up, down = in_mup(problem(64), problem(16)), in_mup(problem(16), problem(64))
    with isolated_randomness():
        wider, narrower, plain = (set_up(p, 1) for p in (up, down, problem(16)))
    assert sorted(g.multiplier for g in narrower.groups) == sorted(1 / g.multiplier for g in wider.groups)
    assert torch.equal(narrower.model[4].weight, plain.model[4].weight * 2)


def test_at_the_base_both_are_the_same_and_the_two_routes_add_up_to_the_move():
    base = problem(16)
    standard, mup = layer_moves(base, 0.1), layer_moves(in_mup(base, base), 0.1)
    assert standard == mup and [m.layer for m in standard] == ["0", "2", "4"]
    assert standard[0].by_inputs == 0 and standard[0].moved == pytest.approx(standard[0].by_weights, rel=1e-4)
    for move in standard:
        assert move.moved <= move.by_weights + move.by_inputs + 1e-6 and move.moved > 0


def test_readouts_move_apart_over_widths_in_the_standard_parametrisation_only():
    """SGD: an update of the readout moves it by width x rate; muP's rate falls as fast."""
    lr = 0.05
    standard = [layer_moves(problem(n), lr)[-1].by_weights for n in (32, 512)]
    mup = [layer_moves(in_mup(problem(n), problem(32)), lr)[-1].by_weights for n in (32, 512)]
    assert standard[1] / standard[0] > 4 and 0.4 < mup[1] / mup[0] < 2.5


def test_the_fingerprint_does_not_move_and_own_loops_are_refused():
    one, two = (in_mup(problem(32), problem(16)) for _ in range(2))
    assert torch.equal(one.model.base[0].weight, two.model.base[0].weight)
    own = Problem.from_loop(lambda lr, seed, report: None, steps=3)
    with pytest.raises(ProblemError, match="a training loop of your own cannot be put into muP"):
        in_mup(own, problem(16))
