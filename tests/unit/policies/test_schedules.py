"""Schedules: shapes, squeezing, a user's own torch scheduler, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from etastar import Problem, ProblemError
from etastar.policies import Constant, Observation
from etastar.policies.compose import has_horizon, squeezed
from etastar.policies.named import SCHEDULES, policy_over
from etastar.policies.psi import FITTED
from etastar.policies.schedule import Schedule
from etastar.policies.torch_schedule import TorchSchedule, torch_schedule

SHAPES = [name for name, policy in SCHEDULES.items() if not policy.reads]
TOPS = {"psi": math.exp(FITTED[0])}
"""Of those whose highest rate is not the lane's: that of psi is the peak of a linear decay, above what it holds."""


def factors(policy, steps):
    return [float(policy.step(Observation(t), policy.init(torch.tensor(1.0, dtype=torch.float64)))[0]) for t in range(steps)]


def test_warmup_cosine_is_the_textbook_formula():
    found = factors(policy_over("warmup-cosine", 200), 200)
    expected = [(t + 1) / 20 if t < 20 else 0.5 * (1 + math.cos(math.pi * (t - 20) / 180)) for t in range(200)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_wsd_warms_up_holds_and_decays_linearly():
    found = factors(policy_over("wsd", 100), 100)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(found[5:80]) == {1.0}
    assert found[80:] == pytest.approx([(100 - t) / 20 for t in range(80, 100)])


def test_a_curve_that_is_a_number_is_a_power():
    assert factors(policy_over("linear:curve=2", 50), 50) == pytest.approx([(1 - t / 50) ** 2 for t in range(50)], rel=1e-14)
    wsd = factors(policy_over("wsd:warmup=0,curve=1.7", 50), 50)
    assert wsd == pytest.approx([1.0] * 40 + [((50 - t) / 10) ** 1.7 for t in range(40, 50)], rel=1e-14)


def test_the_rate_is_the_peak_and_a_schedule_ends_at_its_floor():
    for name in SHAPES:
        found = factors(policy_over(name, 160), 160)
        assert max(found) == pytest.approx(TOPS.get(name, 1.0))
        assert min(found) > 0
    after = factors(policy_over("cosine:floor=0.1", 50), 60)
    assert after[50:] == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("name", SHAPES)
def test_squeezed_schedules_have_the_same_shape(name):
    whole, half = factors(policy_over(name, 400), 400), factors(squeezed(policy_over(name, 400), 200), 200)
    for t, rate in enumerate(half):
        near = whole[max(2 * t - 2, 0) : 2 * t + 4]  # a jump falls on whole steps
        assert min(near) - 0.02 <= rate <= max(near) + 0.02
    assert has_horizon(policy_over(name, 400))


def test_one_step_is_enough_for_every_schedule():
    for name in SHAPES:
        assert factors(policy_over(name, 1), 1)[0] > 0


@pytest.mark.parametrize(
    "factory",
    [
        lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=60),
        lambda opt: lr_scheduler.OneCycleLR(opt, max_lr=opt.param_groups[0]["lr"], total_steps=60),
        lambda opt: lr_scheduler.SequentialLR(
            opt, [lr_scheduler.LinearLR(opt, 0.1, total_iters=6), lr_scheduler.ExponentialLR(opt, 0.95)], [6]
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:The epoch parameter in")
def test_a_torch_scheduler_gives_its_own_rates(factory):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3, momentum=0.9)
    scheduler, expected = factory(optimizer), []
    for _ in range(60):
        expected.append(optimizer.param_groups[0]["lr"] / 0.3)
        optimizer.step()
        if len(expected) < 60:
            scheduler.step()
    assert factors(policy_over(factory, 60), 60) == pytest.approx(expected, rel=1e-9)


def test_a_torch_schedule_is_told_apart_by_its_repr():
    a, b = (torch_schedule(lambda opt, g=g: lr_scheduler.ExponentialLR(opt, g), 20) for g in (0.9, 0.91))
    assert repr(a) != repr(b)
    assert repr(a) == repr(TorchSchedule(a.factors))
    assert a.over(20) is a
    assert len(a.over(7).factors) == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("cosin", "schedule is 'cosin'; expected one of constant, linear"),
        ("wsd:decya=0.5", "expected settings of warmup, decay"),
        ("wsd:decay=1.5", r"decay is 1.5; expected a share in \[0, 1\]"),
        ("wsd:warmup=0.9", "expected shares that add up to at most 1"),
        ("wsd:curve=round", "curve is 'round'; expected one of linear"),
        ("wsd:curve=-2", r"curve is -2; expected a power in \(0, 100\]"),
        ("one-cycle:cycle_momentum=True", "expected cycle_momentum=False: a policy sets rates alone"),
        ("one-cycle:warmup=1", r"one-cycle: warmup is 1; expected a number in \(0, 1\)"),
        ("exponential:final=0", r"exponential: final is 0; expected a number in \(0, 1\]"),
        ("step-decay:every=0", r"step-decay: every is 0; expected a share of the steps in \(0, 1\)"),
        ("step-decay:drop=2", r"step-decay: drop is 2; expected a number in \(0, 1\]"),
        ("inverse-sqrt:warmup=0.9", "expected shares that add up to at most 1"),
        ("triangular:cycles=0", "triangular: cycles is 0; expected an integer >= 1"),
        ("triangular:low=-1", r"triangular: low is -1; expected a share in \[0, 1\]"),
        ("cosine-restarts:longer=1.5", "cosine-restarts: longer is 1.5; expected an integer >= 1"),
        ("plateau:factor=1", r"plateau: factor is 1; expected a number in \(0, 1\)"),
        ("plateau:every=0", r"plateau: every is 0; expected an integer >= 1"),
        ("greedy:high=0.5", "greedy: high is 0.5; expected a number >= 1"),
        ("bold-driver:down=2", r"bold-driver: down is 2; expected a number in \(0, 1\]"),
        ("polyak:c=0", "polyak: c is 0; expected a finite number > 0"),
        ("spike-guard:cut=1", r"spike-guard: cut is 1; expected a number in \(0, 1\)"),
        ("constant:decay=0.5", "constant is given 'decay'; expected the name alone"),
        (Schedule(steps=200), "spans 200 steps but only 100 are planned"),
        (3, "schedule is a int"),
        (lambda opt: lr_scheduler.ReduceLROnPlateau(opt), "reads a metric"),
        (lambda opt: lr_scheduler.OneCycleLR(opt, max_lr=0.1, total_steps=100), "do not follow the optimizer's"),
        (
            lambda opt: lr_scheduler.OneCycleLR(opt, max_lr=opt.param_groups[0]["lr"], total_steps=50),
            "fails at step 51 of 100",
        ),
        (lambda opt: 3, "returned a int"),
        (lambda opt: opt.nothing, "cannot be made: AttributeError"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_sentence(given, words):
    with pytest.raises(ProblemError, match=words):
        policy_over(given, 100)


def test_a_problem_binds_its_schedule_to_its_horizon():
    problem = Problem.from_loop(lambda lr, seed, report: None, steps=80)
    assert problem.policy == Constant()
    planned = problem.but(schedule="cosine")
    assert planned.policy == policy_over("cosine", 80)
    assert planned.but(steps=40).policy == policy_over("cosine", 40)
    assert problem.but(schedule=Schedule(decay=0.5, steps=60)).policy.factor(70) == 0.0
