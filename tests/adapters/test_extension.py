"""A run that gets longer: what was trained stays, the rate does not jump, and the rest is what the sentence says."""

from __future__ import annotations

import pytest
import torch

from adapters.live import Live
from etastar import PerGroup, ProblemError, Schedule, Times
from etastar.adapters.controller import Controller
from etastar.adapters.extension import COOLDOWNS, cooldown_share
from etastar.policies import Constant


def controller_of(policy, steps=None) -> Controller:
    return Controller(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0), policy, steps=steps)


def run(controller: Controller, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        rates.append(controller.step(loss=1.0))
        controller._optimizer.step()
    return rates


def test_a_stable_run_holds_and_cools_down_over_five_eighths_of_twice_the_steps():
    controller = controller_of("wsd:warmup=0", 100)
    assert run(controller, 70) == [2.0] * 70
    extension = controller.extend(200)
    assert str(extension) == (
        "100 -> 200 steps: what was trained until step 70 stays; the rate stays at 1 of the peak until step 75, then it "
        "falls linearly to zero over 125 steps"
    )
    assert run(controller, 130) == pytest.approx([2.0] * 5 + [2.0 * (125 - t) / 125 for t in range(125)])


@pytest.mark.parametrize("policy", ["wsd", "cosine", "linear", "inverse-sqrt", "one-cycle", "greedy@0.6>linear"])
def test_the_rate_does_not_jump_and_ends_near_zero(policy):
    controller = controller_of(policy, 100)
    before = run(controller, 65)
    controller.extend(150)
    after = run(controller, 85)
    assert after[0] == pytest.approx(before[-1], rel=1 / 15)
    assert max(after) <= before[-1] * (1 + 1e-12)
    assert 0 < after[-1] < 0.05 * before[-1]


def test_one_that_has_begun_to_cool_down_goes_on_from_its_rate():
    controller = controller_of("wsd:warmup=0", 100)
    assert run(controller, 91)[-1] == 1.0
    extension = controller.extend(400)
    assert extension.held == (("*", 0.5),) and extension.cooldown == 80
    assert run(controller, 309)[:229] == [1.0] * 229


def test_the_share_that_cools_down_is_that_of_the_table_and_less_for_a_lower_rate():
    for ratio, share in COOLDOWNS:
        assert cooldown_share(ratio, 1.0) == pytest.approx(share)
        assert cooldown_share(ratio, 0.5) <= share
    assert cooldown_share(4.0, 0.5) == pytest.approx(0.2)


def test_groups_keep_the_rates_they_have():
    policy = PerGroup({"group_0": Times(Schedule(decay=1.0), 0.5)}, Schedule(decay=0.2)).over(100)
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)]
    optimizer = torch.optim.SGD(groups, lr=2.0)
    controller = Controller(optimizer, policy, steps=100)
    run(controller, 41)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.6, 2.0])
    controller.extend(110)
    run(controller, 1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.6, 2.0])


def test_an_extended_run_is_saved_and_resumed_to_the_bit_and_can_be_extended_again():
    whole, second = Live("mlp", "SGD", "wsd", steps=20), Live("mlp", "SGD", "wsd", steps=20)
    whole.train(0, 15)
    whole.controller.extend(30)
    whole.train(15, 22)
    saved = whole.saved()
    for live in (whole, second):
        live.load(saved)
        live.controller.extend(45)
        live.rates.clear()
        live.train(22, 45)
    assert second.rates == whole.rates and len(set(whole.rates)) > 5
    assert torch.equal(second.weights(), whole.weights())


@pytest.mark.parametrize(
    ("policy", "taken", "steps", "sentence"),
    [
        ("cosine", 50, 100, r"extend\(100\) of a run of 100 steps; expected an integer > 100"),
        ("cosine", 0, 200, r"before the first step; expected a controller made with steps=200"),
        ("cosine", 95, 200, "too low to hold; expected extend.. before the cooldown: go back with rollback"),
        (Constant(), 5, 200, "has no end to be moved"),
        ("plateau", 5, 200, "has no end to be moved"),
    ],
)
def test_what_cannot_be_extended_is_a_sentence(policy, taken, steps, sentence):
    controller = controller_of(policy, 100)
    run(controller, taken)
    with pytest.raises(ProblemError, match=sentence):
        controller.extend(steps)
