"""What every policy must do."""

from __future__ import annotations

import pytest
import torch

from catalog import POLICIES
from etastar import Observation, Policy


@pytest.mark.parametrize("name", POLICIES)
def test_policies_are_pure_hashable_and_work_on_vectors_of_lanes(name):
    policy = POLICIES[name]
    assert isinstance(policy, Policy)
    assert hash(policy) == hash(type(policy)(**vars(policy)))
    rates = torch.tensor([0.1, 0.01, 3.0], dtype=torch.float64)
    vector = policy.init(rates)
    singles = [policy.init(float(lr)) for lr in rates]
    for step in range(20):
        observation = Observation(step, None if step == 0 else 1.0)
        out, vector = policy.step(observation, vector)
        again, _ = policy.step(observation, singles[0])
        ones = [policy.step(observation, state) for state in singles]
        assert again == ones[0][0], "the same state gives the same rate"
        singles = [state for _, state in ones]
        assert torch.equal(torch.as_tensor(out), torch.tensor([lr for lr, _ in ones], dtype=torch.float64))
