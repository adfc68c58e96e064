"""The last look, and thorough's wide one: on lanes whose losses at every rate and length are known."""

from __future__ import annotations

import math

import pytest

from etastar import Criterion
from etastar.core.lane import Lane, LaneStatus, Outcome, Runs
from etastar.designs.best_rate.best_lr import BestLR, rungs_for
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.full_length import DECADE, LOOKS, SEEDS, FullLength

STEPS = 800
START = 2.0


def usual(lr: float, steps: int) -> float:
    """A parabola around .05, which moves as 1 / steps^.35; the loss falls as 1 / steps^.3."""
    off = math.log10(lr / (0.05 * (STEPS / steps) ** 0.35))
    return START * math.exp(-1.5 + 0.3 * math.log(STEPS / steps) + 0.8 * off**2)


def memorised(lr: float, steps: int) -> float:
    """The same, and what memorising adds once rate x steps passes 15: past half of the training at .05."""
    return usual(lr, steps) * (1 + max(lr * steps / 15 - 1, 0))


def two_basins(lr: float, steps: int) -> float:
    """A plateau from 2e-3 to .3; high rates fall off it once rate x steps passes 48: at .06, with all the steps."""
    plateau = START * math.exp(-2 + 2 * max(math.log10(2e-3 / lr), 0) + 2 * max(math.log10(lr / 0.3), 0))
    return plateau * (0.5 if lr * steps >= 48 else 1) * (1 + 0.01 * math.log10(lr / 0.02) ** 2)


def ran(design, loss, fails_above: float = 1.0) -> tuple[BestRate, list[Lane]]:
    lanes: list[Lane] = []
    while asked := design.ask():
        lanes += asked
        design.tell(Runs(outcome(lane, loss(lane.lr, lane.steps), fails_above) for lane in asked))
    return design.answer(), lanes


def test_without_validation_data_nothing_would_be_seen():
    design = BestLR(Criterion(), STEPS, start=0.02)
    while asked := design.ask():
        assert max(lane.steps for lane in asked) <= STEPS / 2
        losses = [usual(lane.lr, lane.steps) for lane in asked]
        design.tell(
            Runs(Outcome(o, LaneStatus.TRAINED, None, o.steps, START, x) for o, x in zip(asked, losses, strict=True))
        )


def outcome(lane: Lane, loss: float, fails_above: float) -> Outcome:
    failed = lane.lr > fails_above
    status = LaneStatus.DIVERGED if failed else LaneStatus.TRAINED
    valid = None if failed else loss
    return Outcome(lane, status, None, 5 if failed else lane.steps, START, loss, valid_loss=valid, first_valid_loss=START)


def quick(loss) -> tuple[BestRate, list[Lane]]:
    return ran(BestLR(Criterion(), STEPS, start=0.02), loss)


def test_what_is_left_of_the_budget_buys_one_lane_nearly_as_long_as_the_training():
    answer, lanes = quick(usual)
    assert [lane.steps for lane in lanes].count(STEPS) == 1 == sum(lane.steps > STEPS // 2 for lane in lanes)
    assert lanes[-1].lr >= answer.lr.value, "it stands at the plateau's top"
    assert answer.full_runs <= 3.2 and sum(lane.steps for lane in lanes) <= 3.2 * STEPS
    assert not answer.lr.flags and abs(math.log10(answer.lr.value / 0.05)) < 0.1
    assert f"one of {STEPS} at" in answer.lr.method


@pytest.mark.parametrize(("start", "left"), [(0.02, 175), (0.2, 195)])
def test_where_a_whole_training_does_not_fit_it_takes_what_is_left(start, left):
    faster = lambda lr, n: usual(lr * (n / 200) ** 0.3, n)  # four lanes of half the length, where usually three do
    _, lanes = ran(BestLR(Criterion(), 200, start=start), faster)
    assert [lane.steps for lane in lanes].count(100) == 4 and lanes[-1].steps == left


def test_memorising_that_sets_in_late_lowers_the_rate_and_is_flagged():
    answer, _ = quick(memorised)
    shifted = BestLR(Criterion(), STEPS, start=0.02, budget=2.0)
    without, lanes = ran(shifted, memorised)
    assert max(lane.steps for lane in lanes) <= STEPS / 2, "two runs leave no room for it"
    best = min((10 ** (k / 50) for k in range(-150, 0)), key=lambda lr: memorised(lr, STEPS))
    assert "late-overfitting" in answer.lr.flags and "late-overfitting" not in without.lr.flags
    assert memorised(answer.lr.value, STEPS) < memorised(without.lr.value, STEPS)
    assert answer.lr.value < without.lr.value and answer.lr.low < best < answer.lr.high


def test_a_second_basin_that_only_long_lanes_at_high_rates_reach_is_found():
    answer, lanes = quick(two_basins)
    assert "two-basins" in answer.lr.flags
    assert lanes[-1].lr >= 0.06, "there it ends at half the loss"
    without, _ = ran(BestLR(Criterion(), STEPS, start=0.02, budget=2.0), two_basins)
    assert without.lr.high < 0.06 and without.lr.value < answer.lr.value <= lanes[-1].lr < answer.lr.high


def test_a_look_that_fails_says_nothing_of_the_rate():
    both = [ran(BestLR(Criterion(), STEPS, start=0.02, budget=b), usual, fails_above=0.07)[0] for b in (2.55, 3.2)]
    assert all(0.02 < answer.lr.value < 0.07 for answer in both)
    assert "late-overfitting" not in both[1].lr.flags


def test_time_that_is_over_leaves_the_look_out():
    design = BestLR(Criterion(), STEPS, start=0.02)
    while next(iter(asked := design.ask())).steps < STEPS:
        design.tell(Runs(outcome(lane, usual(lane.lr, lane.steps), 1.0) for lane in asked))
    design.shorten(lambda lanes: 10)
    assert not design.ask() and design.answer().lr.ok and not design.answer().lr.flags


def test_a_search_for_less_does_without():
    for budget in (0.6, 1.0):
        _, lanes = ran(BestLR(Criterion(), STEPS, start=0.02, budget=budget), usual)
        assert max(lane.steps for lane in lanes) == rungs_for(STEPS, budget)[-1].steps


def test_thorough_begins_at_the_best_of_a_wide_look():
    trapped, _ = ran(FullLength(Criterion(), STEPS, start=0.01), two_basins)
    answer, lanes = ran(FullLength(Criterion(), STEPS, start=0.01, ends=(0.003, 0.03)), two_basins)
    look = sorted(lane.lr for lane in lanes[:LOOKS])
    assert look == pytest.approx([10 ** (k / DECADE) for k in (-14, -10, -8, -6, -2)], rel=1e-2)
    assert len({lane.seed for lane in lanes[:LOOKS]}) == 1 < len({lane.seed for lane in lanes}) and SEEDS > 1
    assert trapped.lr.high < 0.1 <= answer.lr.value < 0.35
    assert len({(lane.lr, lane.seed) for lane in lanes}) == len(lanes), "no lane is asked for twice"


def test_where_the_loss_hardly_bends_the_interval_holds_the_middle_of_the_plateau():
    def flat(lr: float, steps: int) -> float:
        beyond = max(abs(math.log10(lr / 0.03)) - 0.8, 0)
        return START * math.exp(-3 + 30 * beyond + 1e-3 * math.log10(lr / 0.01) ** 2)

    answer, _ = ran(FullLength(Criterion(), STEPS, start=0.01, within=0.1, ends=(0.005, 0.05)), flat)
    assert answer.lr.low <= 0.03 <= answer.lr.high and "wide-plateau" in answer.lr.flags
    assert answer.plateau[0] < 0.006 and answer.plateau[1] > 0.05
