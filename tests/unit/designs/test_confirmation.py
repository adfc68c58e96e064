"""The best trials of a search on fresh seeds: known losses told to the design, and the coverage of its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from etastar import Criterion, Lane, Outcome, Runs, Schedule
from etastar.core import LaneStatus, Until
from etastar.core.estimate import Estimate, Status
from etastar.core.randomness import derive_seed
from etastar.designs import Space
from etastar.designs.search.confirmation import FINALISTS, FRESH, Confirmation, Finalist, confirmation_of
from etastar.designs.search.optuna_search import OptunaSearch
from etastar.designs.search.trials import Found, Trial
from etastar.verbs.search.search_verdict import best_of, estimate, judge, near_best

FIRST = 2.0
SPACE = Space.of({"lr": {"low": 1e-3, "high": 10.0}})


def trial(number: int, lr: float, loss: float, **more) -> Trial:
    return Trial(number, {"lr": lr, **more}, lr, loss, (loss,), state="complete")


def found(*trials: Trial) -> Found:
    return Found(trials, SPACE, first_loss=FIRST, widened=0, stopped=None, importance=None)


def lane_of(trial: Trial, seed: int) -> Lane:
    return Lane(trial.lr, seed, 10, Criterion(), Until.END)


def outcome(lane: Lane, loss: float, status: LaneStatus = LaneStatus.TRAINED) -> Outcome:
    return Outcome(lane, status, None, 10, first_loss=FIRST, end_loss=loss, valid_loss=loss)


def confirm(search: Found, truth) -> tuple[list[list[Lane]], tuple[Finalist, ...]]:
    """Run the confirmation where lane (rate, index of its seed) ends as `truth` says: a loss, or a status."""
    design, asked = Confirmation(search, lane_of, FRESH, seed=7), []
    seeds = [derive_seed(7, "fresh", i) for i in range(FRESH)]
    while lanes := design.ask():
        asked.append(list(lanes))
        ends = [truth(lane.lr, seeds.index(lane.seed)) for lane in lanes]
        design.tell(
            Runs(
                outcome(lane, math.nan, end) if isinstance(end, LaneStatus) else outcome(lane, end)
                for lane, end in zip(lanes, ends, strict=True)
            )
        )
    return asked, design.answer()


LUCKY = found(trial(0, 0.1, 0.2), trial(1, 0.3, 0.5), trial(2, 0.2, 0.6), trial(3, 0.4, 0.7), trial(4, 0.5, 0.9))
"""Trial 0 was lucky: on fresh seeds it is worth 0.8, trial 1 0.4."""
WORTH = {0.1: (0.7, 0.8, 0.9), 0.3: (0.3, 0.4, 0.5), 0.2: (0.6, 0.6, 0.6), 0.4: (0.7, 0.7, 0.7), 0.5: (1.0, 1.0, 1.0)}


def test_the_answer_is_the_best_on_fresh_seeds_and_not_the_luckiest():
    asked, finalists = confirm(LUCKY, lambda lr, i: WORTH[lr][i])
    assert [len(lanes) for lanes in asked] == [FINALISTS * FRESH]
    assert {lane.lr for lane in asked[0]} == {0.1, 0.3, 0.2}, "the three of the lowest losses"
    assert not {lane.seed for lane in asked[0]} & {derive_seed(7, "lane", i) for i in range(10)}, "seeds of no trial"
    assert [f.number for f in finalists] == [1, 2, 0]
    best = finalists[0]
    assert (best.loss, best.trial.loss, best.confirmed) == (pytest.approx(0.4), 0.5, True)
    low, high = best.interval
    assert (low + high) / 2 == pytest.approx(0.4)
    assert (high - low) / 2 == pytest.approx(3.3198 * 0.1 / math.sqrt(3), rel=1e-3), "t(2) at 0.96, s = 0.1"
    lr = estimate(LUCKY, finalists, cost=1)
    assert lr.value == 0.3 and "unconfirmed" not in lr.flags


def test_near_the_best_is_held_against_what_it_is_worth_and_not_against_luck():
    """The bar lies 2 % of the way from the first loss (2.0) above 0.5, the best's own loss: at 0.53 for the others."""
    search = found(*LUCKY.trials, trial(5, 0.35, 0.52))
    _, finalists = confirm(search, lambda lr, i: {**WORTH, 0.35: (0.41, 0.42, 0.43)}[lr][i])
    assert [t.number for t in near_best(search, finalists)] == [1, 5], "both on fresh seeds: 0.4 and 0.42, bar 0.432"
    assert [t.number for t in near_best(search, ())] == [0], "against the luckiest none is"
    unhurt = found(*LUCKY.trials, trial(5, 0.45, 0.61), trial(6, 0.46, 0.65))
    again = (Finalist(unhurt.trials[1], (0.6, 0.62, 0.64)),)
    assert [t.number for t in near_best(unhurt, again)] == [0, 1, 2, 5], "bar 0.62 + 0.0276: fresh seeds were harder"


def test_a_finalist_with_a_failed_lane_is_passed_over():
    ends = {**WORTH, 0.3: (0.1, LaneStatus.DIVERGED, 0.1)}
    asked, finalists = confirm(LUCKY, lambda lr, i: ends[lr][i])
    assert len(asked) == 1
    assert [f.number for f in finalists] == [2, 0, 1], "next best; those that failed last"
    assert finalists[-1].failed == 1 and not finalists[-1].confirmed and finalists[-1].interval is None
    assert best_of(LUCKY, finalists).number == 2


def test_where_every_finalist_fails_the_next_best_are_tried_and_then_there_is_no_answer():
    first_three = (0.1, 0.3, 0.2)
    asked, finalists = confirm(LUCKY, lambda lr, i: LaneStatus.DIVERGED if lr in first_three and i == 1 else WORTH[lr][i])
    assert [len(lanes) for lanes in asked] == [9, 6]
    assert best_of(LUCKY, finalists).number == 3
    asked, finalists = confirm(LUCKY, lambda lr, i: LaneStatus.DIVERGED if i == 1 else WORTH[lr][i])
    assert sum(map(len, asked)) == 15 == confirmation_of(5, FRESH, 10).lanes
    assert Confirmation(LUCKY, lane_of, FRESH).planned() == confirmation_of(5, FRESH, 10)
    lr = estimate(LUCKY, finalists, cost=1)
    assert lr.status is Status.DIVERGED_EVERYWHERE
    assert "each of the 5 best of 5 trials failed on some fresh seed (5 of 15 lanes)" in lr.reason
    assert judge(0.1, "0.1", LUCKY, finalists, lr, None).verdict == "unknown"


def test_the_same_setting_twice_is_one_finalist():
    search = found(trial(0, 0.1, 0.2), trial(1, 0.1, 0.2), trial(2, 0.1, 0.25, width=4), trial(3, 0.3, 0.5))
    asked, _ = confirm(search, lambda lr, i: 0.3)
    assert [lane.lr for lane in asked[0]][::FRESH] == [0.1, 0.1, 0.3], "trials 0, 2 and 3"


def test_stopped_before_it_began_the_luckiest_stands_and_is_called_that():
    design = Confirmation(LUCKY, lane_of)
    design.stop("time-limit")
    assert design.ask() == [] and design.answer() == ()
    best = best_of(LUCKY, ())
    assert (best.number, best.loss, best.confirmed, best.interval) == (0, 0.2, False, None)
    assert "unconfirmed" in estimate(LUCKY, (), cost=1, flags=("unconfirmed",)).flags
    assert "unconfirmed" in estimate(LUCKY, (), cost=1).method


def test_the_rate_in_use_is_quoted_on_fresh_seeds_where_it_was_a_finalist():
    _, finalists = confirm(LUCKY, lambda lr, i: WORTH[lr][i])
    lr = estimate(LUCKY, finalists, cost=1)
    yours = judge(0.1, "0.1", LUCKY, finalists, lr, None)
    assert (yours.loss, yours.verdict) == (pytest.approx(0.8), "worse") and "on the fresh seeds" in yours.sentence
    other = judge(0.4, "0.4", LUCKY, finalists, lr, None)
    assert (other.loss, other.verdict) == (0.7, "worse") and "in its trial" in other.sentence


def test_a_finalists_lane_is_the_trials_own_over_the_whole_schedule():
    """Schedule, settings and horizon of the trial, whatever rung it was trained on."""
    space = Space.of({"lr": {"choices": [0.1]}, "schedule": {"choices": ["wsd"]}, "momentum": {"choices": [0.5]}})
    search = OptunaSearch(space, Criterion(), 90, Schedule(steps=90), sampler="random", trials=1, pruner="hyperband")
    search.ask()
    lane = search.lane_of(Trial(0, {"lr": 0.1, "schedule": "wsd", "momentum": 0.5}, 0.1), 11)
    assert (lane.lr, lane.seed, lane.steps, lane.settings) == (0.1, 11, 90, (("momentum", 0.5),))
    assert lane.policy == Schedule(warmup=0.05, decay=0.2, steps=90)


def simulated(rng: np.random.Generator, spread: float) -> Found:
    """A search of 32 trials with one seed each: what a setting is worth plus the noise of its seed, sd 1."""
    worth = -5 + spread * rng.normal(size=32)
    return found(*(trial(i, 10.0 ** (i / 100), float(w + rng.normal()), worth=float(w)) for i, w in enumerate(worth)))


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_interval_holds_what_the_setting_is_worth_in_nine_of_ten_searches(spread):
    """And the luckiest trial's own loss lies about two standard deviations too low where all settings are alike."""
    rng, held, off, luck = np.random.default_rng(0), 0, [], []
    for _ in range(400):
        search = simulated(rng, spread)
        worth = {t.lr: t.params["worth"] for t in search.trials}
        design = Confirmation(search, lane_of)
        lanes = design.ask()
        design.tell(Runs(outcome(lane, worth[lane.lr] + rng.normal()) for lane in lanes))
        best = design.answer()[0]
        low, high = best.interval
        held += low <= worth[best.lr] <= high
        off.append(best.loss - worth[best.lr])
        luck.append(search.best.loss - worth[search.best.lr])
    assert held / 400 >= 0.87
    assert abs(np.mean(off)) < 0.55 < 0.8 < -np.mean(luck)


def test_of_one_estimate_the_flags_are_known():
    assert Estimate.none(Status.FLAT, "flat", flags=("unconfirmed",)).flags == ("unconfirmed",)
