"""What every policy must do."""

from __future__ import annotations

import pytest
import torch

from catalog import POLICIES
from etastar.policies import Observation
from etastar.testing import check_policy


def test_the_reactive_rule_reacts():
    policy = POLICIES["reactive"]
    state, seen = policy.init(torch.tensor([0.1, 0.1], dtype=torch.float64)), []
    for step, loss in enumerate([(1.0, 1.0), (1.0, 1.0), (2.0, 0.5), (1.0, 0.4)]):
        rate, state = policy.step(Observation(step, {"loss": torch.tensor(loss)}), state)
        seen.append(rate.tolist())
    assert seen == [[0.1, 0.1], [0.1, 0.1], [0.05, 0.1], [0.06, 0.1]]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_keeps_the_contract(name):
    check_policy(POLICIES[name])
