"""The search as a design: told exact losses of a quadratic, it must find the rate that is known to be best."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from etastar import Criterion, Lane, Outcome, Runs, Schedule
from etastar.core import LaneStatus, Until
from etastar.designs import OptunaSearch, Space
from etastar.designs.search.optuna_samplers import SAMPLERS
from etastar.designs.search.trials import objective
from etastar.policies import Constant
from etastar.problems.quadratic import best_lr, loss_curve

H = (1.0, 0.5)
STEPS = 20
BEST = best_lr(STEPS, H)
WIDE = Space.of({"lr": {"low": 1e-2, "high": 10.0}})


def trained(lane: Lane) -> Outcome:
    """What gradient descent on the quadratic does, exactly; momentum is a parabola around 0.3 on top."""
    losses = loss_curve(lane.lr, lane.steps + 1, H)
    loss = float(losses[-1]) + 0.01 * (dict(lane.settings).get("momentum", 0.3) - 0.3) ** 2
    status = LaneStatus.TRAINED if loss < losses[0] else LaneStatus.DIVERGED
    return Outcome(lane, status, None, lane.steps, float(losses[0]), float(losses[-2]), valid_loss=loss)


def run(design: OptunaSearch) -> list[list[Lane]]:
    asked = []
    while lanes := design.ask():
        asked.append(list(lanes))
        design.tell(Runs(trained(lane) for lane in lanes))
    return asked


def search(space: Space = WIDE, **settings) -> OptunaSearch:
    return OptunaSearch(space, Criterion(), STEPS, Constant(), **settings)


def best_of(design: OptunaSearch) -> float:
    best = design.answer().best
    assert best is not None
    return best.lr


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_finds_the_known_best_rate(sampler):
    """64 random rates over three decades lie a factor 1.11 apart on average."""
    design = search(sampler=sampler, trials=14 if sampler == "gp" else 64)
    run(design)
    assert len(design.answer().trials) == design.trials
    assert best_of(design) == pytest.approx(BEST, rel=0.25 if sampler in ("random", "grid") else 0.08)


SLOW_GP = [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in SAMPLERS]
"""Its Gaussian process takes a twentieth of a second a trial."""


@pytest.mark.parametrize("sampler", SLOW_GP)
def test_told_the_same_it_asks_the_same(sampler):
    pruner = "none" if sampler in ("grid", "gp") else "hyperband"
    trials = 12 if sampler == "gp" else 24
    asked = [run(search(sampler=sampler, trials=trials, seed=3, pruner=pruner)) for _ in range(2)]
    assert asked[0] == asked[1]
    others = run(search(sampler=sampler, trials=trials, seed=4, pruner=pruner))
    assert {lane.lr for lane in others[0]} == {lane.lr for lane in asked[0][0]} if sampler == "grid" else others != asked[0]


@pytest.mark.parametrize("sampler", ["random", "genetic", "tpe", "cmaes"])
def test_more_trials_begin_with_the_same_ones(sampler):
    few, many = (search(sampler=sampler, trials=n, batch=8) for n in (12, 20))
    run(few), run(many)
    assert [t.params for t in few.answer().trials] == [t.params for t in many.answer().trials][:12]


@pytest.mark.parametrize("sampler", SLOW_GP[2:])
def test_two_parameters(sampler):
    space = Space.of({"lr": {"low": 1e-2, "high": 10.0}, "momentum": {"low": 0.0, "high": 0.9}})
    design = search(space, sampler=sampler, trials=24 if sampler == "gp" else 64)
    run(design)
    found = design.answer()
    assert found.best is not None and found.best.params["momentum"] == pytest.approx(0.3, abs=0.15)
    assert found.best.loss < 2e-4
    if sampler != "gp":
        assert found.importance is not None and set(found.importance) == {"lr", "momentum"}


def test_learning_samplers_beat_random_ones():
    """Mean over seeds of |log(rate / best)|: a sampler that ignored what it is told would not."""

    def error(sampler: str) -> float:
        found = []
        for seed in range(4):
            design = search(sampler=sampler, trials=48, seed=seed)
            run(design)
            found.append(abs(math.log(best_of(design) / BEST)))
        return sum(found) / len(found)

    random = error("random")
    for sampler in ("genetic", "tpe", "cmaes"):
        assert error(sampler) < random, sampler


def test_enqueued_settings_come_first_and_missing_ones_are_drawn():
    space = Space.of({"lr": {"low": 1e-2, "high": 10.0}, "momentum": {"low": 0.0, "high": 0.9}})
    design = search(space, enqueued=[{"lr": 0.5, "momentum": 0.1}, {"lr": 0.25}])
    first, second, *_ = design.ask()
    assert (first.lr, dict(first.settings)) == (pytest.approx(0.5, rel=2e-3), {"momentum": 0.1})
    assert second.lr == pytest.approx(0.25, rel=2e-3)
    assert 0 <= dict(second.settings)["momentum"] <= 0.9


def test_a_schedule_is_the_lanes_policy_and_all_else_its_settings():
    space = Space.of(
        {
            "lr": {"choices": [0.1]},
            "schedule": {"choices": ["wsd"]},
            "batch_size": {"choices": [8]},
            "width": {"choices": [3]},
        }
    )
    (lane,) = search(space, trials=1).ask()
    assert lane.policy == Schedule(warmup=0.05, decay=0.2, steps=STEPS)
    assert lane.settings == (("batch_size", 8), ("width", 3))
    assert lane.until is Until.END


def test_every_trial_has_the_same_seeds():
    lanes = search(trials=4, batch=4, seeds=3).ask()
    assert len(lanes) == 12
    assert len({lane.seed for lane in lanes}) == 3
    assert [lane.seed for lane in lanes[:3]] == [lane.seed for lane in lanes[3:6]]


# -- pruning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruning_saves_steps_and_finds_the_same_best(pruner):
    whole, pruned = (search(sampler="random", pruner=name, seed=1, batch=8) for name in ("none", pruner))
    asked = [lane for lanes in run(pruned) for lane in lanes]
    run(whole)
    assert best_of(pruned) == best_of(whole)
    trials = pruned.answer().trials
    assert sum(t.state == "pruned" for t in trials) > 16
    assert sum(t.steps for t in trials) == sum(lane.steps for lane in asked), "every rung is paid for"
    assert sum(t.steps for t in trials) < 0.85 * sum(t.steps for t in whole.answer().trials)


def test_a_rung_is_the_whole_schedule_squeezed():
    design = OptunaSearch(WIDE, Criterion(), 90, Schedule(steps=90), pruner="hyperband", trials=4)
    assert {(lane.steps, lane.policy) for lane in design.ask()} == {(10, Schedule(steps=10))}


# -- the edge ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["genetic", "tpe", "cmaes"])
@pytest.mark.parametrize(("low", "high"), [(1e-3, 0.3), (4.0, 40.0)], ids=["below", "above"])
def test_a_range_of_ours_is_widened_until_it_holds_the_best(sampler, low, high):
    """From above, where every trial diverges, too."""
    design = search(Space.of({"lr": {"low": low, "high": high}}), sampler=sampler, widen=True)
    run(design)
    found = design.answer()
    assert found.widened >= 1
    assert best_of(design) == pytest.approx(BEST, rel=0.3)
    assert len(found.trials) == 64
    lr = found.space["lr"]
    assert lr.high / lr.low == pytest.approx(high / low * 10**found.widened)


def test_a_users_range_is_left_alone():
    design = search(Space.of({"lr": {"low": 1e-3, "high": 0.3}}))
    run(design)
    assert design.answer().widened == 0
    assert best_of(design) <= 0.3


# -- what a trial counts as --------------------------------------------------------------------------------------------


def test_the_loss_of_a_lane():
    lane = Lane(0.1, 0, 10)
    outcome = Outcome(lane, LaneStatus.TRAINED, 5, 10, first_loss=2.0, end_loss=0.5, valid_loss=0.4)
    assert objective(outcome) == 0.4
    assert objective(replace(outcome, valid_loss=None)) == 0.5
    assert objective(replace(outcome, status=LaneStatus.DIVERGED, valid_loss=None, end_loss=math.nan)) == 4.0
    assert objective(replace(outcome, valid_loss=math.inf)) == 4.0
    assert objective(replace(outcome, valid_loss=50.0)) == 4.0
    assert objective(replace(outcome, first_loss=-2.0, status=LaneStatus.DIVERGED)) == 0.0
    assert objective(replace(outcome, first_valid_loss=0.1)) == 0.2, "measured as the loss at the end is"
    unborn = replace(outcome, first_loss=math.nan, end_loss=math.nan, valid_loss=None)
    assert objective(unborn, 3.0) == 6.0, "broken off before it had a loss"


def test_stopped_early_it_answers_with_the_trials_it_has():
    design = search(trials=32, batch=8)
    design.tell(Runs(trained(lane) for lane in design.ask()))
    design.stop("time-limit")
    assert design.ask() == []
    found = design.answer()
    assert (len(found.trials), found.stopped) == (8, "time-limit")
