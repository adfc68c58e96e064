"""The studied network: sizes, variances, and the input layer's own rate through training."""

from __future__ import annotations

import pytest
import torch

from etastar.core.setup import set_up
from etastar.errors import ProblemError
from etastar.problems.mlp import ReLUNetwork, mlp_problem


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(128, 6, generator=generator), torch.arange(128) % 3


def test_weights_have_he_variance_and_no_bias():
    torch.manual_seed(0)
    model = ReLUNetwork(inputs=300, depth=3, width=400, readout_gain=0.5)()
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes == [(400, 300), (400, 400), (400, 400), (10, 400)]
    variances = [p.var().item() * p.shape[1] for p in model.parameters()]
    assert variances[:3] == pytest.approx([2.0, 2.0, 2.0], rel=0.02)
    assert variances[3] == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("optimizer", ["sgd:lr=0.3", "momentum:lr=0.3", "adam:lr=0.3"])
def test_the_input_layer_has_its_own_rate(data, optimizer):
    setup = set_up(mlp_problem(data, depth=2, width=8, optimizer=optimizer, input_multiplier=0.02), 0)
    assert [(g.name, g.parameters) for g in setup.groups] == [("input", 48), ("rest", 64 + 24)]
    assert [g.multiplier for g in setup.groups] == pytest.approx([0.02, 1.0])
    assert all(group.get("momentum") == setup.optimizer.defaults.get("momentum") for group in setup.optimizer.param_groups)


def test_a_frozen_input_layer_stays(data):
    setup = set_up(mlp_problem(data, depth=1, width=8, input_multiplier=0), 0)
    before = [p.detach().clone() for p in setup.model.parameters()]
    torch.nn.functional.cross_entropy(setup.model(data[0]), data[1]).backward()
    setup.optimizer.step()
    assert [torch.equal(a, b) for a, b in zip(before, setup.model.parameters(), strict=True)] == [True, False]


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 2.5}, {"input_multiplier": -1}, {"readout_gain": 0}])
def test_impossible_sizes_are_refused(data, wrong):
    with pytest.raises(ProblemError, match=rf"{next(iter(wrong))} is .*; expected"):
        mlp_problem(data, **{"depth": 2, "width": 8, **wrong})
