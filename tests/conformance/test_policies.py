"""What every policy must do."""

from __future__ import annotations

import pytest
import torch

from catalog import POLICIES
from etastar import Observation, Policy
from etastar.engine.signals import SIGNALS


def test_the_reactive_rule_reacts():
    policy = POLICIES["reactive"]
    state, seen = policy.init(torch.tensor([0.1, 0.1], dtype=torch.float64)), []
    for step, loss in enumerate([(1.0, 1.0), (1.0, 1.0), (2.0, 0.5), (1.0, 0.4)]):
        rate, state = policy.step(Observation(step, {"loss": torch.tensor(loss)}), state)
        seen.append(rate.tolist())
    assert seen == [[0.1, 0.1], [0.1, 0.1], [0.05, 0.1], [0.06, 0.1]]


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_pure_hashable_and_work_on_vectors_of_lanes(name):
    policy = POLICIES[name]
    assert isinstance(policy, Policy)
    assert hash(policy) == hash(type(policy)(**vars(policy)))
    rates = torch.tensor([0.1, 0.01, 3.0], dtype=torch.float64)
    vector = policy.init(rates)
    singles = [policy.init(lr) for lr in rates]
    for step in range(20):
        value = torch.tensor(1.0 + 0.3 * (-1) ** step + 0.01 * step, dtype=torch.float64)
        observation = Observation(step, dict.fromkeys(SIGNALS, value))
        out, vector = policy.step(observation, vector)
        again, _ = policy.step(observation, singles[0])
        ones = [policy.step(observation, state) for state in singles]
        assert again == ones[0][0], "the same state gives the same rate"
        singles = [state for _, state in ones]
        assert torch.equal(torch.as_tensor(out), torch.tensor([lr for lr, _ in ones], dtype=torch.float64))
