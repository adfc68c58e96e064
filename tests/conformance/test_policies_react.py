"""Reactive policies against the rules they are, in a plain loop over plain numbers."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.optim import lr_scheduler

from diagonal import diagonal
from etastar import PerGroup, Schedule
from etastar.policies import Constant, Observation
from etastar.policies.named import policy_over
from etastar.policies.spike_guard import SpikeGuard

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
        seen = Observation(step, {name: torch.tensor(values[step], dtype=torch.float64) for name, values in signals.items()})
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


def greedy_by_hand(losses, *, factor, patience, cooldown=0, warmup=0, low=0.0, high=10.0, reset=500, threshold=1e-6):
    """The rule as Transformers documents it, for one rate after the other, in plain numbers."""
    columns = []
    for lr in LANES.tolist():
        rate, best, good, bad, skip, left, column = lr, float("inf"), 0, 0, 0, reset, []
        for loss in losses:
            if skip:
                skip, good, bad = skip - 1, 0, 0
            elif loss < best - threshold:
                best, good, bad = loss, good + 1, 0
            else:
                good, bad = 0, bad + 1
            if good > patience:
                rate, good, skip, left = min(rate / factor, high * lr), 0, warmup, reset
            elif bad > patience:
                rate, bad, skip = max(rate * factor, low * lr), 0, cooldown
                if rate <= low * lr:
                    left -= 1
                    if left <= 0:
                        rate, best, good, left = lr, float("inf"), 0, reset
            column.append(rate)
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
    ("settings", "seed"),
    diagonal(
        [
            {"patience": 1, "factor": 0.5},
            {"patience": 0, "factor": 0.9, "cooldown": 3, "warmup": 5},
            {"patience": 0, "factor": 0.5, "low": 0.1, "high": 2.0},
            {"patience": 0, "factor": 0.3, "low": 0.2, "reset": 3, "cooldown": 2},
        ],
        [0, 1, 2],
    ),
)
def test_greedy_is_the_rule_of_transformers_step_by_step(settings, seed):
    losses = falling_then_noisy(seed)
    text = ",".join(f"{name}={value}" for name, value in settings.items())
    same(rates_of(f"greedy:signal=loss,every=1,{text}", {"loss": losses}), greedy_by_hand(losses, **settings))


def test_greedy_goes_both_ways_and_starts_anew():
    ours = rates_of("greedy:signal=loss,every=1,patience=0,factor=0.3,low=0.2,reset=3", {"loss": falling_then_noisy(1)})
    ratios = {round(row[0] / 0.3, 3) for row in ours}
    assert max(ratios) > 1 and min(ratios) == 0.2
    assert any(later[0] == 0.3 and earlier[0] < 0.1 for earlier, later in itertools.pairwise(ours))


def test_bold_driver_is_the_rule_in_plain_numbers():
    losses = falling_then_noisy(5)
    table, factor, last = [], 1.0, None
    for loss in losses:
        if last is not None and loss != last:
            factor = min(factor * 1.05, 10.0) if loss < last else factor * 0.5
        last = loss
        table.append([lr * factor for lr in LANES.tolist()])
    same(rates_of("bold-driver:signal=loss,every=1", {"loss": losses}), table)


def test_hypergradient_is_the_rule_in_plain_numbers():
    cosines = [float("nan")] + [round(0.9 - t / 100, 3) for t in range(199)]
    table, factor = [], 1.0
    for cosine in cosines:
        if cosine == cosine:
            factor = min(max(factor * (1 + 0.1 * cosine), 0.5), 10.0)
        table.append([lr * factor for lr in LANES.tolist()])
    same(rates_of("hypergradient:beta=0.1,low=0.5", {"grad_cosine": cosines}), table)
    assert table[-1][0] == pytest.approx(0.15) and max(row[0] for row in table) == pytest.approx(3.0)


def test_polyak_reaches_the_lowest_point_of_a_quadratic_in_one_step_and_keeps_to_its_cap():
    """f = h x^2 / 2 + 3: with c = 1/2 the step is 1 / h."""
    losses, norms, wanted = [], [], []
    for h, x in ((20.0, 0.7), (50.0, -3.0), (4.0, 0.1)) * 10:
        losses.append(h * x * x / 2 + 3)
        norms.append(abs(h * x))
        wanted.append([min(1 / h, lr) for lr in LANES.tolist()])
    signals = {"loss": losses, "grad_norm": norms}
    ours = rates_of("polyak:lowest=3", signals)
    for mine, truth in zip(ours, wanted, strict=True):
        assert mine == pytest.approx(truth, rel=1e-12)
    assert ours[0][1] == 0.02 and ours[0][2] == pytest.approx(0.05)
    assert rates_of("polyak:lowest=9", {"loss": [1.0], "grad_norm": [1.0]}) == [[0.0, 0.0, 0.0]]
    assert rates_of("polyak", {"loss": [1.0], "grad_norm": [0.0]}) == [LANES.tolist()]


def test_spike_guard_cuts_at_a_jump_and_never_at_noise_and_its_statistics_are_those_of_the_losses():
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    losses = (2.0 + 0.1 * noise.clamp(-3.5, 3.5)).tolist()
    calm = rates_of("spike-guard", {"loss": losses})
    assert calm == [LANES.tolist()] * 2000
    jumped = rates_of("spike-guard:back=10", {"loss": [*losses[:300], 9.0, float("nan"), *losses[300:400]]})
    factors = [row[2] for row in jumped]
    assert factors[:300] == [1.0] * 300 and factors[300:302] == [0.5, 0.25]
    assert factors[302:] == pytest.approx([min(0.25 * 2 ** ((i + 1) / 10), 1.0) for i in range(100)])
    policy = policy_over("spike-guard:memory=40", 100)
    state = policy.init(LANES)
    for step, loss in enumerate(losses[:40]):
        _, state = policy.step(Observation(step, {"loss": torch.tensor(loss, dtype=torch.float64)}), state)
    first = torch.tensor(losses[:40], dtype=torch.float64)
    assert float(state["mean"][0]) == pytest.approx(float(first.mean()))
    assert float(state["square"][0]) == pytest.approx(float(first.var(correction=0)))


def test_spike_guard_is_around_any_policy():
    guarded = SpikeGuard(PerGroup({"head": Constant()}, Schedule(decay=1.0)), memory=2).over(10)
    state = guarded.init(1.0)
    for step, loss in enumerate((1.0, 1.1, 1.0, 30.0)):
        rate, state = guarded.step(Observation(step, {"loss": loss}), state)
    assert {name: float(own) for name, own in rate.items()} == {"head": 0.5, "*": pytest.approx(0.35)}
