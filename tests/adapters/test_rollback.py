"""Going back: the training is what it was at a snapshot, to the bit."""

from __future__ import annotations

import pytest
import torch

from adapters.live import NETS, OPTIMIZERS, Live
from etastar import ProblemError


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("policy", ["hypergradient:beta=0.3", "bold-driver:signal=loss,every=1", "cosine"])
def test_it_goes_on_from_a_snapshot_as_if_nothing_had_been(net, optimizer, policy):
    whole, live = (Live(net, optimizer, policy, steps=20, keep=2, every=5) for _ in range(2))
    whole.train(0, 20)
    live.train(0, 13)
    back = live.controller.rollback()
    assert str(back).startswith("back at step 10, 3 undone: parameters, buffers of the model given, optimizer and policy")
    live.train(10, 20)
    assert live.rates[:10] + live.rates[13:] == whole.rates
    assert torch.equal(live.weights(), whole.weights())


def test_a_second_call_goes_further_back_and_then_there_is_nothing():
    live = Live("mlp", "SGD", "cosine", steps=20, keep=2, every=5)
    live.train(0, 13)
    assert live.controller.rollback().step == 10
    live.train(10, 11)
    assert live.controller.rollback().step == 5
    with pytest.raises(ProblemError, match=r"no snapshot to go back to; expected Controller\(..., keep=2, every=100\)"):
        live.controller.rollback()


def test_rates_may_be_lower_from_there_on_and_stay_so_in_a_checkpoint():
    live = Live("mlp", "SGD", "cosine", steps=20, keep=2, every=5)
    live.train(0, 13)
    before = live.rates[10:13]
    assert str(live.controller.rollback(factor=0.5)).endswith("every rate from here on x 0.5")
    other = Live("mlp", "SGD", "cosine", steps=20)
    other.load(live.saved())
    for again in (live, other):
        again.rates.clear()
        again.train(10, 13)
        assert again.rates == pytest.approx([0.5 * rate for rate in before])


def test_weights_that_are_not_finite_are_no_snapshot():
    live = Live("mlp", "SGD", "constant", keep=2, every=5)
    live.train(0, 6)
    with torch.no_grad():
        next(live.model.parameters()).fill_(float("nan"))
    live.train(6, 12)
    assert live.controller.rollback().step == 5
    assert bool(torch.isfinite(live.weights()).all())
