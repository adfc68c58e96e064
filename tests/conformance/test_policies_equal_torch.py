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


def _warmup_cosine(t):
    return (t + 1) / 20 if t < 20 else 0.5 * (1 - math.cos(math.pi * ((200 - t) / 180)))


def _cyclic(optimizer, mode):
    peaks = _peaks(optimizer)
    return lr_scheduler.CyclicLR(optimizer, [lr * 0.25 for lr in peaks], peaks, 25, mode=mode, cycle_momentum=False)


PAIRS = {
    "polynomial": Pair("polynomial:curve=1.5", lambda opt: lr_scheduler.PolynomialLR(opt, STEPS, 1.5)),
    "linear": Pair("linear", lambda opt: lr_scheduler.LinearLR(opt, 1.0, 0.0, STEPS)),
    "cosine": Pair("cosine", lambda opt: lr_scheduler.CosineAnnealingLR(opt, STEPS)),
    "warm-up and cosine": Pair("warmup-cosine", lambda opt: lr_scheduler.LambdaLR(opt, _warmup_cosine), bits=True),
    "one after another": Pair(
        "constant@50>step-decay:every=40",
        lambda opt: lr_scheduler.SequentialLR(
            opt, [lr_scheduler.ConstantLR(opt, 1.0, 0), lr_scheduler.StepLR(opt, 40, 0.1)], [50]
        ),
    ),
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
    "step": Pair("step-decay:every=60,drop=0.3", lambda opt: lr_scheduler.StepLR(opt, 60, 0.3), bits=True),
    "step, a share": Pair("step-decay", lambda opt: lr_scheduler.StepLR(opt, 67, 0.1), bits=True),
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


READ = {
    "LambdaLR": lambda opt: lr_scheduler.LambdaLR(opt, lambda t: 0.97**t + 0.1),
    "MultiplicativeLR": lambda opt: lr_scheduler.MultiplicativeLR(opt, lambda t: 0.95 if t % 3 else 1.02),
    "StepLR": lambda opt: lr_scheduler.StepLR(opt, 30),
    "MultiStepLR": lambda opt: lr_scheduler.MultiStepLR(opt, [50, 55, 120], 0.3),
    "ConstantLR": lambda opt: lr_scheduler.ConstantLR(opt, 0.1, 70),
    "LinearLR": lambda opt: lr_scheduler.LinearLR(opt, 0.05, 1.0, 150),
    "ExponentialLR": lambda opt: lr_scheduler.ExponentialLR(opt, 0.97),
    "PolynomialLR": lambda opt: lr_scheduler.PolynomialLR(opt, 180, 2.0),
    "CosineAnnealingLR": lambda opt: lr_scheduler.CosineAnnealingLR(opt, 90),
    "CosineAnnealingWarmRestarts": lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 20, 3),
    "CyclicLR": lambda opt: _cyclic(opt, "triangular2"),
    "OneCycleLR": lambda opt: lr_scheduler.OneCycleLR(opt, _peaks(opt), total_steps=STEPS, cycle_momentum=False),
    "SequentialLR": lambda opt: lr_scheduler.SequentialLR(
        opt, [lr_scheduler.LinearLR(opt, 0.1, 1.0, 20), lr_scheduler.ExponentialLR(opt, 0.98)], [20]
    ),
    "ChainedScheduler": lambda opt: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(opt, 0.1, 1.0, 20), lr_scheduler.ExponentialLR(opt, 0.98)]
    ),
}
"""Every scheduler of torch's that is a function of the step, to be read off as a policy."""


def _peaks(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def optimizer_of(scale: float = 1.0) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr * scale} for lr in RATES]
    return torch.optim.SGD(groups, lr=RATES[0] * scale, momentum=0.9)


def rates_of_torch(make, closed: bool) -> list[list[float]]:
    """Rates of every group at every step, as an ordinary loop has them, or by the scheduler's closed form."""
    optimizer = optimizer_of()
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


@pytest.mark.filterwarnings("ignore:The epoch parameter in")
@pytest.mark.parametrize("name", READ)
def test_a_scheduler_of_torchs_own_is_read_off_step_by_step(name):
    policy, truth = policy_over(READ[name], STEPS, optimizer_of), rates_of_torch(READ[name], closed=False)
    for lr, theirs in zip(RATES, zip(*truth, strict=True), strict=True):
        ours = [rate * (lr / RATES[0]) for rate in rates_over(policy, RATES[0], STEPS)]
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


def test_no_scheduler_of_torchs_is_left_out():
    every = {
        name
        for name, kind in vars(lr_scheduler).items()
        if isinstance(kind, type) and issubclass(kind, lr_scheduler.LRScheduler) and not name.startswith("_")
    }
    assert every - set(READ) == {"LRScheduler", "ReduceLROnPlateau"}


W, DECAY = 20, 60
TRANSFORMERS = {
    "constant_with_warmup": ("wsd:warmup=0.1,decay=0", lambda t: 1.0),
    "linear": ("warmup-linear", lambda t: (STEPS - t) / (STEPS - W)),
    "cosine": ("warmup-cosine", lambda t: 0.5 * (1 + math.cos(math.pi * (t - W) / (STEPS - W)))),
    "polynomial": ("warmup-linear:curve=2", lambda t: (1 - (t - W) / (STEPS - W)) ** 2),
    "cosine_with_min_lr": (
        "warmup-cosine:floor=0.1",
        lambda t: 0.5 * (1 + math.cos(math.pi * (t - W) / (STEPS - W))) * 0.9 + 0.1,
    ),
    "warmup_stable_decay, linear": ("wsd:warmup=0.1,decay=0.3", lambda t: min(1.0, (STEPS - t) / DECAY)),
    "warmup_stable_decay, 1-sqrt": (
        "wsd:warmup=0.1,decay=0.3,curve=sqrt",
        lambda t: 1 - math.sqrt(max(t - STEPS + DECAY, 0) / DECAY),
    ),
    "warmup_stable_decay, cosine": (
        "wsd:warmup=0.1,decay=0.3,curve=cosine",
        lambda t: 0.5 * (1 + math.cos(math.pi * max(t - STEPS + DECAY, 0) / DECAY)),
    ),
    "inverse_sqrt": ("inverse-sqrt:warmup=0.1,cooldown=0", lambda t: math.sqrt(W / (t + 1))),
}
"""name of Transformers' -> (ours, its closed form after the warm-up); theirs of inverse_sqrt at step t + 1."""


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_rates_are_those_of_transformers_after_a_warm_up_that_is_one_step_ahead(name):
    """Theirs begins at a rate of 0, at which nothing is trained; ours reaches the peak a step earlier."""
    ours, closed = TRANSFORMERS[name]
    truth = [(t + 1) / W if t < W else closed(t) for t in range(STEPS)]
    assert list(rates_over(policy_over(ours, STEPS), 1.0, STEPS)) == pytest.approx(truth, rel=1e-12, abs=1e-15)
