"""A lane and an ordinary loop driven by `Controller` are one training, for every policy; so is one saved and resumed."""

from __future__ import annotations

import random
from itertools import product

import pytest
import torch

from adapters.live import NETS, OPTIMIZERS, POLICIES, STEPS, Live, lane, problem
from diagonal import diagonal
from etastar import LaneEngine
from etastar.engine import LoopEngine

SETUPS = list(product(NETS, OPTIMIZERS))
DIAGONAL = [(name, *SETUPS[i % len(SETUPS)]) for i, name in enumerate(POLICIES)]
"""Every policy once, on one network and optimizer after the other."""
OTHERS = [case for case in product(POLICIES, NETS, OPTIMIZERS) if case not in DIAGONAL]


@pytest.mark.parametrize(
    ("name", "net", "optimizer"), [*DIAGONAL, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHERS)]
)
def test_a_lane_is_the_live_loop(name, net, optimizer):
    outcome = LoopEngine(dtype=torch.float64).train_lane(problem(net, optimizer), lane(POLICIES[name]))
    live = Live(net, optimizer, POLICIES[name])
    live.train(0, STEPS)
    assert live.losses == pytest.approx([row.loss for row in outcome.trace], rel=1e-12)
    assert live.rates == pytest.approx([row.lr for row in outcome.trace], rel=1e-12)
    assert live.controller.taken == STEPS


@pytest.mark.parametrize(("name", "kernel"), diagonal(POLICIES, ["mlp", "vmap"]))
def test_lanes_that_train_together_are_live_loops_each(name, kernel):
    lanes = [lane(POLICIES[name], lr=lr) for lr in (0.1, 0.03, 0.3)]
    outcomes = LaneEngine(kernel, dtype=torch.float64).try_train(problem("mlp", "SGD"), lanes)
    for outcome in outcomes:
        live = Live("mlp", "SGD", POLICIES[name], lr=outcome.lane.lr)
        live.train(0, STEPS)
        assert live.losses == pytest.approx([row.loss for row in outcome.trace], rel=1e-11)
        assert live.rates == pytest.approx([row.lr for row in outcome.trace], rel=1e-11)


@pytest.mark.parametrize("name", POLICIES)
def test_saved_and_resumed_at_any_step_it_is_the_same_to_the_bit(name):
    draw = random.Random(name)
    stop, net, optimizer = draw.randrange(1, STEPS), draw.choice(sorted(NETS)), draw.choice(sorted(OPTIMIZERS))
    whole, first, second = (Live(net, optimizer, POLICIES[name]) for _ in range(3))
    whole.train(0, STEPS)
    first.train(0, stop)
    second.load(first.saved())
    assert second.controller.lr == first.controller.lr
    second.train(stop, STEPS)
    assert first.rates + second.rates == whole.rates
    assert torch.equal(second.weights(), whole.weights())
