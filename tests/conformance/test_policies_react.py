"""Reactive policies against the rules they are, in a plain loop over plain numbers."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from etastar import Observation
from etastar.policies.named import policy_over

LANES = torch.tensor([0.3, 0.02, 1.0], dtype=torch.float64)


def falling_then_noisy(seed: int, steps: int = 200) -> list[float]:
    """A loss that falls, stays, and falls again."""
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return [2 ** (-(t // 60)) + 0.5 ** (t / 5 + 1) + 0.02 * abs(float(noise[t])) for t in range(steps)]


def rates_of(text: str, signals: dict[str, list[float]]) -> list[list[float]]:
    """Rates of all lanes at every step; every lane is also asked alone, and gets the same."""
    policy = policy_over(text, len(next(iter(signals.values()))))
    state, alone, table = policy.init(LANES), [policy.init(lr) for lr in LANES], []
    for step in range(len(next(iter(signals.values())))):
        seen = Observation(step, {name: torch.tensor(values[step]).double() for name, values in signals.items()})
        rate, state = policy.step(seen, state)
        ones = [policy.step(seen, own) for own in alone]
        alone = [own for _, own in ones]
        assert torch.equal(rate, torch.stack([own for own, _ in ones]))
        table.append(rate.tolist())
    return table


def by_scheduler(scheduler_of, losses: list[float]) -> list[list[float]]:
    """Rates of groups after each `scheduler.step(loss)`."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": float(lr)} for lr in LANES]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler, table = scheduler_of(optimizer), []
    for loss in losses:
        scheduler.step(loss)
        table.append([float(group["lr"]) for group in optimizer.param_groups])
    return table


def same(ours: list[list[float]], truth: list[list[float]]) -> None:
    for mine, theirs in zip(ours, truth, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12)
    assert len({row[0] for row in ours}) > 3, "the rates moved"


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("ours", "settings"),
    [
        ("patience=3,factor=0.5", {"patience": 3, "factor": 0.5}),
        ("patience=0,factor=0.9,threshold=0.05", {"patience": 0, "factor": 0.9, "threshold": 0.05}),
        ("patience=2,factor=0.3,cooldown=7", {"patience": 2, "factor": 0.3, "cooldown": 7}),
    ],
)
def test_plateau_is_torchs_step_by_step(ours, settings, seed):
    losses = falling_then_noisy(seed)
    truth = by_scheduler(lambda opt: lr_scheduler.ReduceLROnPlateau(opt, eps=0.0, **settings), losses)
    same(rates_of(f"plateau:signal=loss,every=1,{ours}", {"loss": losses}), truth)


def test_plateau_watches_an_accuracy_upwards_and_stops_at_its_floor():
    accuracies = [1 - loss / 4 for loss in falling_then_noisy(3)]
    make = lambda opt: lr_scheduler.ReduceLROnPlateau(
        opt, "max", patience=2, factor=0.5, eps=0.0, min_lr=[0.01 * float(lr) for lr in LANES]
    )
    ours = rates_of("plateau:signal=accuracy,every=1,patience=2,factor=0.5,low=0.01", {"accuracy": accuracies})
    same(ours, by_scheduler(make, accuracies))
    assert ours[-1] == pytest.approx((0.01 * LANES).tolist())


def test_a_look_every_tenth_step_sees_nothing_in_between_and_no_value_is_no_look():
    losses = falling_then_noisy(4)
    rare = rates_of("plateau:signal=loss,every=10,patience=1,factor=0.5", {"loss": losses})
    truth = by_scheduler(lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=1, factor=0.5, eps=0.0), losses[::10])
    same(rare[9::10], truth)
    assert rare[::10] == rare[9::10]
    unknown = rates_of("plateau:signal=loss,every=1,patience=0", {"loss": [float("nan")] * 20})
    assert unknown == [LANES.tolist()] * 20
