"""Cooldowns of several horizons from one trunk: each ends where its own training would, for the price of the plan."""

from __future__ import annotations

import math

import pytest
import torch

from etastar import Criterion, LaneEngine, ProblemError, RunStore
from etastar.core import run
from etastar.designs.best_rate.cooldowns import Cooldowns
from etastar.engine import LoopEngine
from etastar.problems.digits import digits_mlp


def design(**changes) -> Cooldowns:
    settings = {"rates": (0.02, 0.2), "horizons": (15, 30, 60), "seeds": 2}
    return Cooldowns(Criterion(loss=0.0), **(settings | changes))


def answered(engine, own: Cooldowns):
    problem, store = digits_mlp(width=12), RunStore(":memory:")
    store.register(problem, "cooldowns", [1.0], {})
    return run(own, problem, engine, store), store.new_gradient_steps


ENGINES = {"loop": LoopEngine(dtype=torch.float64), "mlp": LaneEngine("mlp", dtype=torch.float64)}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_horizon_ends_where_its_own_training_would_for_the_price_of_the_plan(engine):
    found, steps = answered(ENGINES[engine], design())
    assert steps == design().planned().steps == 2 * 2 * (48 + 3 + 6 + 12)
    assert [(cooled.lr, cooled.steps, len(cooled.losses)) for cooled in found] == [
        (lr, n, 2) for lr in (0.02, 0.2) for n in (15, 30, 60)
    ]
    alone = LoopEngine(dtype=torch.float64)
    for cooled in found:
        lanes = [lane for lane in design()._left if (lane.lr, lane.steps) == (cooled.lr, cooled.steps)]
        truths = [alone.train_lane(digits_mlp(width=12), lane) for lane in lanes]
        assert cooled.losses == pytest.approx([truth.scored_loss for truth in truths], rel=1e-12)
        assert truths[0].trace[-1].lr < 0.3 * cooled.lr, "it was cooled down"
    assert found[2].loss < found[0].loss, "more steps, less loss"


def test_lanes_that_break_are_counted_and_a_stop_keeps_whole_seeds():
    own = design(rates=(1e30,), horizons=(15, 30))
    (first, second), _ = answered(LoopEngine(), own)
    assert (first.broken, second.broken) == (2, 2) and math.isnan(first.loss)
    own = design()
    problem, store = digits_mlp(width=12), RunStore(":memory:")
    store.register(problem, "cooldowns", [1.0], {})
    own.tell(store.get_or_train(LoopEngine(), problem, own.ask()))
    own.stop("time-limit")
    assert not own.ask() and [len(cooled.losses) for cooled in own.answer()] == [1] * 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": ()}, "no rates, horizons or seeds; expected at least one of each"),
        ({"share": 1.0}, r"share is 1\.0; expected a share of the horizon in \(0, 1\)"),
        ({"horizons": (100, 2)}, "the horizon 2 has no room for a trunk and a cooldown of 0.2"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(changes, message):
    with pytest.raises(ProblemError, match=message):
        design(**changes)
