"""The search for the best rate: on lanes with a known optimum, and on a quadratic whose best rate is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest

from etastar import Criterion, Options, RunStore, Status
from etastar.core import run
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.designs.best_rate.best_lr import BestLR, Rung, rungs_for
from etastar.designs.best_rate.full_length import MODEL_PAD, FullLength
from etastar.policies.named import policy_over
from etastar.problems.quadratic import best_lr, quadratic


class Made:
    """An `Engine` whose lanes have a known optimum: lr_best(n) = at x (n / horizon)^-gamma; diverged above `edge` x that.

    The loss falls as 1 / steps^.3.
    """

    name = "made"

    def __init__(self, at=0.05, horizon=640, gamma=0.5, edge=10.0, valid=True, lowest=0.513):
        self.at, self.horizon, self.gamma, self.edge, self.valid = at, horizon, gamma, edge, valid
        self.lowest = lowest
        self.lanes: list[Lane] = []

    def train(self, problem, lanes):
        for index, lane in enumerate(lanes):
            self.lanes.append(lane)
            best = self.at * (self.horizon / lane.steps) ** self.gamma
            off = math.log10(lane.lr / best)
            if lane.lr > self.edge * best:
                yield index, Outcome(lane, LaneStatus.DIVERGED, None, 5, 2.3, math.inf)
                continue
            longer = 0.3 * math.log(self.horizon / lane.steps)
            loss = self.lowest * math.exp(longer + 0.8 * off**2) if off > -1.3 else 2.3 * math.exp(-0.001)
            yield index, Outcome(lane, LaneStatus.TRAINED, 5, lane.steps, 2.3, loss, valid_loss=loss if self.valid else None)


def search(design, engine):
    store = RunStore(":memory:")
    problem = quadratic(steps=5)
    store.register(problem, "x", (1.0,), {}, reusable=True)
    return run(design, problem, engine, store)


@pytest.mark.parametrize("steps", [1, 7, 33, 100, 160, 319, 640, 5000, 100_000])
@pytest.mark.parametrize("budget", [0.6, 1.0, 2.0, 3.2])
def test_no_plan_costs_more_than_its_budget(steps, budget):
    design = BestLR(Criterion(), steps, start=0.05, budget=budget)
    engine = Made(horizon=steps)
    answer = search(design, engine)
    assert sum(lane.steps for lane in engine.lanes) <= max(budget * steps, 3)
    assert answer.full_runs <= max(budget, 3 / steps)
    assert all(rung.steps <= steps for rung in rungs_for(steps, budget))


@pytest.mark.parametrize("off", [-1.5, -0.6, 0.0, 0.4, 1.5])
@pytest.mark.parametrize("budget", [1.0, 3.2])
def test_a_known_optimum_is_found_from_a_start_far_off(off, budget):
    answer = search(BestLR(Criterion(), 640, start=0.05 * 10**off, budget=budget), Made())
    assert answer.lr.ok
    assert abs(math.log10(answer.lr.value / 0.05)) < 0.2
    assert answer.lr.low < 0.05 < answer.lr.high


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_interval_holds_whatever_the_exponent_of_the_horizon(gamma):
    answer = search(BestLR(Criterion(), 640, start=0.05), Made(gamma=gamma))
    assert answer.lr.low < 0.05 < answer.lr.high
    assert math.log10(answer.lr.high / answer.lr.low) < 0.9


def test_short_lanes_run_the_schedule_squeezed():
    engine = Made()
    search(BestLR(Criterion(), 640, policy_over("wsd", 640), start=0.05), engine)
    assert {lane.policy for lane in engine.lanes} == {policy_over("wsd", lane.steps) for lane in engine.lanes}
    assert len({lane.seed for lane in engine.lanes}) == 1, "rates are compared on the same weights and data"


def test_the_plateau_is_where_the_loss_is_within_a_twentieth_of_a_nat():
    answer = search(BestLR(Criterion(), 640, start=0.05), Made())
    best = 2.3 * math.exp(-1.5 + 0.3 * math.log(2))  # of lanes of half the steps
    half = math.sqrt(math.log1p(0.05 / best) / 0.8)
    low, high = answer.plateau
    assert math.log10(high / low) / 2 == pytest.approx(half, rel=0.3)
    assert low < answer.lr.value < high
    assert answer.loss_ratio(answer.lr.value) == pytest.approx(1.0, abs=0.1)
    assert answer.loss_ratio(answer.lr.value * 2) > 1.02
    assert answer.loss_ratio(1e6) is None


def test_what_went_wrong_is_said():
    far = search(BestLR(Criterion(), 640, start=1e12), Made())
    assert far.lr.status is Status.DIVERGED_EVERYWHERE and "every lane diverged" in far.lr.reason
    still = search(BestLR(Criterion(), 640, start=1e-12), Made())
    assert still.lr.status is Status.FLAT and "the loss is the same at every learning rate" in still.lr.reason
    none = BestLR(Criterion(), 640)
    none.stop("time-limit")
    assert none.answer().lr.status is Status.TOO_FEW_POINTS
    assert "time-limit" in none.answer().lr.flags


def test_without_validation_data_the_interval_reaches_lower_and_says_why():
    with_data, without = (search(BestLR(Criterion(), 640, start=0.05), Made(valid=v)).lr for v in (True, False))
    assert "scored-on-training-loss" in without.flags and "scored-on-training-loss" not in with_data.flags
    assert without.low < with_data.low and without.value == with_data.value


def test_an_open_end_widens_the_interval_and_is_flagged():
    rungs = (Rung(320, 0.5, 3),)
    answer = search(BestLR(Criterion(), 640, start=0.004, rungs=rungs), Made(gamma=0.0))
    assert "not-bracketed" in answer.lr.flags
    assert answer.plateau is None
    assert answer.lr.high > 0.016


@pytest.mark.parametrize("off", [-1.0, 0.0, 0.7])
def test_lanes_of_the_full_length_walk_to_the_optimum(off):
    answer = search(FullLength(Criterion(), 640, start=0.05 * 10**off), Made())
    assert answer.lr.value == pytest.approx(0.05, rel=0.1)
    assert answer.lr.low < 0.05 < answer.lr.high
    assert answer.rungs[0].bracketed


@pytest.mark.parametrize(("lowest", "share"), [(0.02, 0.1), (2.0, 0.025)], ids=["a tenth", "0.05 nats"])
def test_a_plateau_of_the_full_length_costs_no_more_than_a_tenth(lowest, share):
    """Of losses of 0.02, 0.05 nats are 2.5 times as much. It ends where the chords of 0.8 x^2, a quarter decade long each,
    reach ln(1 + share)."""
    answer = search(FullLength(Criterion(), 640, start=0.05, ends=(0.02, 0.12)), Made(lowest=lowest))
    ends = [math.log10(lr / 0.05) for lr in answer.plateau]
    lattice = [k / 4 for k in range(5)]
    off = np.interp(math.log1p(share), [0.8 * x**2 for x in lattice], lattice)
    assert ends == pytest.approx([-off, off], abs=1e-3)


@pytest.mark.parametrize(("edge", "share"), [(20.0, 0.5), (8.0, 1.0)], ids=["trained", "failed"])
def test_the_interval_reaches_half_way_to_a_worse_rate_far_above_and_all_the_way_to_one_that_failed(edge, share):
    """The look is a decade above. What failed there may have a cliff anywhere before it; what trained there, badly, bends
    away from the straight line that ends the plateau. The plateau, 0.05 nats of 0.25, ends 0.38 decades from the best."""
    answer = search(FullLength(Criterion(), 640, start=0.05, ends=(0.05, 0.05)), Made(lowest=0.25, edge=edge))
    middle = share * (1 - 0.38) / 2  # of a plateau from -0.38 to 0.38 + share of what is left of the decade
    assert math.log10(answer.lr.high / 0.05) == pytest.approx(middle + MODEL_PAD, abs=0.01)
    assert answer.lr.low < 0.05 < answer.lr.high


def test_full_length_gives_up_with_a_flag():
    answer = search(FullLength(Criterion(), 640, start=0.05 * 10**-1.2 / 100), Made())
    assert not answer.lr.ok or "not-bracketed" in answer.lr.flags


def test_the_best_rate_of_a_quadratic_is_exact():
    import etastar

    problem = quadratic(steps=20)
    exact = best_lr(20)
    for effort in ("quick", "thorough"):
        lr = etastar.find(problem, effort=effort, options=Options(store=":memory:", workers=1)).lr
        assert lr.low <= exact <= lr.high, effort
    assert abs(math.log10(lr.value / exact)) <= 0.13, "half a step of the lattice: the next rate up diverges"


@pytest.mark.parametrize(
    ("steps", "fall", "status"), [(12, 0.07, "ok"), (12, 0.05, "no-progress"), (20, 0.07, "no-progress")]
)
def test_very_short_lanes_need_their_share_of_progress(steps, fall, status):
    """A tenth of the loss within 20 steps; 6 % within 12."""
    design = BestLR(Criterion(), 60, start=0.05, rungs=(Rung(steps, 0.5, 3),))
    lanes = design.ask()
    losses = {lane: 1 - fall * (lane.lr == sorted(x.lr for x in lanes)[1]) for lane in lanes}
    design.tell(
        Runs(Outcome(o, LaneStatus.SLOW, None, steps, 1.0, x, valid_loss=x, first_valid_loss=1.0) for o, x in losses.items())
    )
    assert design.answer().lr.status.value == status
