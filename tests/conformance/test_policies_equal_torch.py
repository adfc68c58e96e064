"""Our shapes are those of torch's schedulers, step by step, for groups of several rates."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import pytest
import torch
from torch.optim import lr_scheduler

from etastar.policies.named import policy_over
from etastar.policies.policy import rates_over

STEPS = 200
RATES = (0.3, 0.017)


@dataclass(frozen=True)
class Pair:
    """A policy of ours and the scheduler of torch that it equals; `bits` where both follow the closed form."""

    ours: str
    torchs: object
    bits: bool = False
    settings: dict = field(default_factory=dict)


def _cyclic(optimizer, mode):
    return lr_scheduler.CyclicLR(optimizer, [lr * 0.25 for lr in RATES], list(RATES), 25, mode=mode, cycle_momentum=False)


PAIRS = {
    "one-cycle": Pair(
        "one-cycle",
        lambda opt: lr_scheduler.OneCycleLR(opt, list(RATES), total_steps=STEPS, cycle_momentum=False),
        bits=True,
    ),
    "one-cycle, settings": Pair(
        "one-cycle:warmup=0.45,div_factor=10,final_div_factor=100,curve=linear",
        lambda opt: lr_scheduler.OneCycleLR(
            opt, list(RATES), STEPS, None, None, 0.45, "linear", False, div_factor=10, final_div_factor=100
        ),
        bits=True,
    ),
    "exponential": Pair("exponential:final=0.02", lambda opt: lr_scheduler.ExponentialLR(opt, 0.02 ** (1 / STEPS))),
    "step": Pair("step:every=60,drop=0.3", lambda opt: lr_scheduler.StepLR(opt, 60, 0.3), bits=True),
    "step, a share": Pair("step", lambda opt: lr_scheduler.StepLR(opt, 67, 0.1), bits=True),
    "inverse-sqrt": Pair(
        "inverse-sqrt:warmup=0.1,cooldown=0",
        lambda opt: lr_scheduler.LambdaLR(opt, lambda t: (t + 1) / 20 if t < 20 else math.sqrt(20 / (t + 1))),
        bits=True,
    ),
    "triangular": Pair("triangular", lambda opt: _cyclic(opt, "triangular"), bits=True),
    "triangular2": Pair("triangular2", lambda opt: _cyclic(opt, "triangular2"), bits=True),
    "cosine-restarts": Pair(
        "cosine-restarts:cycles=3,longer=2", lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 29, 2), bits=True
    ),
    "cosine-restarts, equal": Pair(
        "cosine-restarts:cycles=4,longer=1", lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 50), bits=True
    ),
}


def rates_of_torch(make, closed: bool) -> list[list[float]]:
    """Rates of every group at every step, as an ordinary loop has them, or by the scheduler's closed form."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in RATES]
    optimizer = torch.optim.SGD(groups, lr=RATES[0], momentum=0.9)
    scheduler, table = make(optimizer), []
    for _ in range(STEPS):
        formula = getattr(scheduler, "_get_closed_form_lr", None) if closed else None
        table.append(formula() if formula else [group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the schedulers that end with the horizon say that they are stepped once more
            try:
                scheduler.step()
            except ValueError:
                assert len(table) == STEPS
    return table


@pytest.mark.parametrize("name", PAIRS)
def test_the_rates_are_torchs_step_by_step(name):
    pair = PAIRS[name]
    policy, truth = policy_over(pair.ours, STEPS), rates_of_torch(pair.torchs, closed=False)
    for lr, theirs in zip(RATES, zip(*truth, strict=True), strict=True):
        ours = list(rates_over(policy, lr, STEPS))
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)
        assert max(ours) > 2 * min(ours), "a shape, no constant"


@pytest.mark.parametrize("name", [name for name, pair in PAIRS.items() if pair.bits])
def test_the_rates_are_bit_identical_where_both_follow_the_closed_form(name):
    pair = PAIRS[name]
    policy, truth = policy_over(pair.ours, STEPS), rates_of_torch(pair.torchs, closed=True)
    for lr, theirs in zip(RATES, zip(*truth, strict=True), strict=True):
        assert list(rates_over(policy, lr, STEPS)) == list(theirs)
