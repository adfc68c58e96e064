"""A training loop of the user's own: what it is told of its lane, what is believed of it, and what it is flagged for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import etastar
from etastar import Criterion, Lane, Options, Problem
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine
from etastar.policies.compose import PerGroup
from etastar.policies.schedule import Schedule

HERE = Options(store=":memory:", workers=1)
PLANNED = 200


def descent(
    *,
    steps: Callable[..., int] = lambda report: PLANNED,
    rate: Callable[..., float] = lambda lr, report, i, n: lr,
    obeys: bool = True,
    valid: bool = False,
):
    """w <- (1 - 2 lr_i) w on w^2 + 0.1, from a w that the seed decides; what each training saw is kept."""
    trainings: list[dict] = []

    def train(lr, seed, report):
        np.random.seed(seed)  # refuses more than 32 bits, as Lightning's and Transformers' seeds do
        w = 1.0 + np.random.rand()
        n = steps(report)
        seen: dict = {"lr": lr, "seed": seed, "rates": [], "losses": []}
        trainings.append(seen)
        for i in range(n):
            at = rate(lr, report, i, n)
            seen["rates"].append(at)
            seen["losses"].append(w * w + 0.1)
            go_on = report(loss=w * w + 0.1)
            w -= 2 * at * w
            if not go_on and obeys:
                break
        if valid:
            report.valid(loss=w * w + 7.0, accuracy=0.5)

    return train, trainings


def cosine(lr, report, i, n):
    return lr * 0.5 * (1 + math.cos(math.pi * i / n))


def door(train, **changes) -> Problem:
    return Problem.from_loop(train, **{"steps": PLANNED, "lr": 0.1, "loss_threshold": 0.5, **changes})


def one_lane(problem: Problem, lr: float, steps: int, until: Until = Until.END):
    policy = Schedule(decay=1.0, curve="cosine").over(steps)
    return LoopEngine().train_lane(problem, Lane(lr, 2**62 + 1, steps, Criterion(loss=0.5), until, policy))


def test_seeds_fit_into_32_bits_and_stand_for_the_lane() -> None:
    train, trainings = descent()
    for lr in (0.1, 0.2):
        one_lane(door(train), lr, 5)
    LoopEngine().train_lane(door(train), Lane(0.1, 3, 5, Criterion(loss=0.5)))
    seeds = [t["seed"] for t in trainings]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert seeds[0] == seeds[1] != seeds[2]


def test_the_loop_learns_the_length_of_its_lane_and_the_rate_of_the_next_step() -> None:
    train, trainings = descent(steps=lambda report: report.steps, rate=lambda lr, report, i, n: report.lr)
    outcome = one_lane(door(train), 0.3, 8)
    by_hand = [0.3 * 0.5 * (1 + math.cos(math.pi * i / 8)) for i in range(8)]
    assert trainings[0]["rates"] == pytest.approx(by_hand, rel=1e-12)
    assert [row.lr for row in outcome.trace] == pytest.approx(by_hand, rel=1e-12)
    assert outcome.steps == 8 and outcome.flags == ()


def test_a_policy_is_asked_once_a_step() -> None:
    @dataclasses.dataclass(frozen=True)
    class Halving:
        """Half the rate after every report: the state counts how often it was asked."""

        reads = ()

        def init(self, lr):
            return lr

        def step(self, observation, state):
            return state, state * 0.5

    rates = []

    def train(lr, seed, report):
        for _ in range(4):
            rates.append((report.lr, report.lr))  # reading it twice changes nothing
            report(loss=1.0)

    lane = Lane(0.8, 0, 4, Criterion(loss=0.5), Until.END, Halving())
    LoopEngine().train_lane(door(train, schedule=Halving()), lane)
    assert rates == [(0.8, 0.8), (0.4, 0.4), (0.2, 0.2), (0.1, 0.1)]


@dataclasses.dataclass(frozen=True)
class ByLoss:
    """rate = lr x loss; the state counts how often it was asked, which must be once a step."""

    reads = ("loss", "smoothed_loss")

    def init(self, lr):
        return lr, 0

    def step(self, observation, state):
        lr, asked = state
        assert observation.step == asked
        return lr * observation["loss"].nan_to_num(1.0), (lr, asked + 1)


LOSSES = [3.0, 2.0, 4.0, 1.0, 5.0, 2.5]


def reading(policy, *looks: str):
    """(rates that a loop read, rates in its trace); `looks` says before ("b") and after ("a") which reports it reads."""
    rates = []

    def train(lr, seed, report):
        for loss, look in zip(LOSSES, looks, strict=True):
            if "b" in look:
                rates.append(report.lr)
            report(loss=loss)
            if "a" in look:
                rates.extend({report.lr, report.lr})

    lane = Lane(0.5, 0, len(LOSSES), Criterion(loss=-1.0), Until.END, policy)
    return rates, [row.lr for row in LoopEngine().train_lane(door(train), lane).trace]


def test_the_rate_read_before_a_report_is_the_coming_steps_and_read_after_it_that_steps_own() -> None:
    before, after = ["b"] * 6, ["a"] * 6
    own = [0.5 * loss for loss in LOSSES]
    assert reading(ByLoss(), *before) == ([0.5, *own[:-1]], [0.5, *own[:-1]])
    assert reading(ByLoss(), *after) == (own, own)
    linear = Schedule(decay=1.0, curve="linear").over(6)
    by_hand = [0.5 * (6 - t) / 6 for t in range(6)]
    for looks in (before, after):
        assert reading(linear, *looks) == (pytest.approx(by_hand), pytest.approx(by_hand))


def test_a_loop_that_reads_now_and_then_keeps_the_rate_it_read_and_its_trace_says_so() -> None:
    own = [0.5 * loss for loss in LOSSES]
    assert reading(ByLoss(), "b", "", "", "b", "", "") == ([0.5, own[2]], [0.5] * 3 + [own[2]] * 3)
    assert reading(ByLoss(), "", "", "a", "", "a", "") == ([own[2], own[4]], [0.5] * 2 + [own[2]] * 2 + [own[4]] * 2)


def test_the_rate_that_a_report_names_is_what_the_trace_holds() -> None:
    def train(lr, seed, report):
        for loss in LOSSES:
            report(loss=loss, lr=0.25)
            assert report.lr == 0.5 * loss

    lane = Lane(0.5, 0, len(LOSSES), Criterion(loss=-1.0), Until.END, ByLoss())
    assert [row.lr for row in LoopEngine().train_lane(door(train), lane).trace] == [0.25] * len(LOSSES)


def test_a_torch_loop_of_ones_own_equals_the_lane_whose_policy_sees_this_steps_gradient() -> None:
    @dataclasses.dataclass(frozen=True)
    class NormStep:
        """lr / |g|, clipped."""

        reads = ("grad_norm",)

        def init(self, lr):
            return lr

        def step(self, observation, state):
            return state / (1 + observation["grad_norm"]), state

    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(-1, 2)
    y = x.sum(1, keepdim=True)
    net = lambda: torch.nn.utils.skip_init(torch.nn.Linear, 2, 1, dtype=torch.float64).requires_grad_()
    zero = lambda: (model := net(), [p.data.zero_() for p in model.parameters()], model)[-1]

    def train(lr, seed, report):
        model = zero()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(report.steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            report(
                loss=loss,
                grad_norm=torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]),
            )
            optimizer.param_groups[0]["lr"] = report.lr
            optimizer.step()

    ours = Problem(
        model=zero,
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=torch.nn.functional.mse_loss,
        train=(x, y),
        batch_size=6,
        steps=8,
    )
    lane = Lane(0.5, 0, 8, Criterion(loss=-1.0), Until.END, NormStep())
    theirs, truth = LoopEngine().train_lane(door(train), lane), LoopEngine().train_lane(ours, lane)
    assert [row.lr for row in theirs.trace] == pytest.approx([row.lr for row in truth.trace], rel=1e-12)
    assert [row.loss for row in theirs.trace] == pytest.approx([row.loss for row in truth.trace], rel=1e-12)
    assert len({row.lr for row in truth.trace}) == 8


def test_rates_per_group_are_refused_before_the_loop_runs() -> None:
    train, trainings = descent()
    lane = Lane(0.5, 0, 4, Criterion(loss=0.5), Until.END, PerGroup({"head": Schedule().over(4)}))
    with pytest.raises(etastar.ProblemError, match=r"gives groups rates of their own; a training loop .* takes one rate"):
        LoopEngine().train_lane(door(train), lane)
    assert trainings == []


@pytest.mark.parametrize("told", ["steps", "lr"])
def test_squeezed_is_said_where_the_loop_was_told(told: str) -> None:
    if told == "steps":
        train, trainings = descent(steps=lambda report: report.steps, rate=cosine)
    else:
        train, trainings = descent(steps=lambda report: 10**6, rate=lambda lr, report, i, n: report.lr)
    answer = etastar.find(door(train, schedule="cosine"), effort="quick", options=HERE)
    assert "schedule squeezed" in answer.lr.method and "schedule-not-squeezed" not in answer.flags
    assert answer.schedule == "cosine"
    whole = [t for t in trainings if len(t["rates"]) == 100]
    assert whole and all(t["rates"][-1] < 1e-3 * t["lr"] for t in whole), "half the steps, all of the shape"


OWN = {
    "a schedule of its own": (None, True),
    "a schedule that was promised": ("cosine", True),
    "no schedule, and it says so": ("constant", False),
}


@pytest.mark.parametrize(("schedule", "flagged"), OWN.values(), ids=OWN.keys())
def test_squeezed_is_not_said_where_the_loop_never_asked(schedule: str | None, flagged: bool) -> None:
    train, _ = descent(rate=cosine if flagged else lambda lr, report, i, n: lr)
    answer = etastar.find(door(train, schedule=schedule), effort="quick", options=HERE)
    assert ("schedule-not-squeezed" in answer.flags) == flagged
    assert ("schedule squeezed" in answer.lr.method) != flagged


def test_a_reported_validation_loss_is_what_lanes_are_judged_by() -> None:
    train, _ = descent(valid=True)
    problem = door(train)
    outcome = one_lane(problem, 0.1, 10)
    w2 = outcome.trace[-1].loss - 0.1  # of the last step, before its update
    assert outcome.valid_loss == pytest.approx(w2 * 0.8**2 + 7.0) and outcome.valid_accuracy == 0.5
    answer = etastar.find(problem, effort="quick", options=HERE)
    assert answer.best.scored_on == "validation loss" and "scored-on-training-loss" not in answer.flags
    assert one_lane(problem, 0.1, 10, Until.SUCCESS).valid_loss is None
    assert one_lane(problem, 30.0, 10).valid_loss is None, "it diverged"


def test_a_loop_that_ignores_the_stop_is_counted_as_it_ran_and_judged_as_if_it_had_not() -> None:
    deaf, heard = (one_lane(door(descent(obeys=obeys)[0]), 0.1, 30) for obeys in (False, True))
    assert (deaf.steps, heard.steps) == (PLANNED, 30)
    assert deaf.flags == ("loop-ignores-stop",) and heard.flags == ()
    assert deaf.trace == heard.trace and deaf.end_loss == heard.end_loss and deaf.status is heard.status


def test_the_cost_of_a_deaf_loop_is_what_it_really_ran(tmp_path: Path) -> None:
    train, trainings = descent(obeys=False)
    options = Options(store=str(tmp_path / "runs.db"), workers=1)
    answer = etastar.find(door(train, name="deaf"), effort="quick", options=options)
    assert "loop-ignores-stop" in answer.flags
    assert answer.cost["gradient_steps"] == PLANNED * len(answer.runs)
    again = len(trainings)
    stored = etastar.find(door(train, name="deaf"), effort="quick", options=options)
    assert stored.flags == answer.flags and stored.cost["new_gradient_steps"] == 0 and len(trainings) > again


def test_a_loop_that_ends_early_is_flagged() -> None:
    train, _ = descent(steps=lambda report: 50)
    outcome = one_lane(door(train), 0.01, 80)
    assert outcome.steps == 50 and outcome.flags == ("loop-ended-early",)
    assert "loop-ended-early" in etastar.find(door(train), effort="quick", options=HERE).flags


def test_an_exception_after_the_stop_is_one_way_to_stop() -> None:
    def train(lr, seed, report):
        while report(loss=1.0):
            pass
        raise StopIteration("told to")

    outcome = one_lane(door(train), 0.1, 10)
    assert outcome.status is LaneStatus.SLOW and outcome.steps == 10 and outcome.error is None


def test_a_report_that_is_no_number_is_a_sentence() -> None:
    def train(lr, seed, report):
        report(loss="low")

    with pytest.raises(etastar.ProblemError, match=r"report\(\) got a str; expected a number or a scalar tensor"):
        one_lane(door(train), 0.1, 10)
