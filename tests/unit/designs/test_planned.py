"""`planned()`: what a design asks for in the end is no more than what it said before."""

from __future__ import annotations

import math

import pytest

from etastar.core.design import Design, Plan
from etastar.core.lane import Criterion, Lane, LaneStatus, Outcome, Runs, Until
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.eta_star.eta_star import EtaStar, Precision
from etastar.designs.fixed_lanes import FixedLanes
from etastar.designs.search.optuna_search import OptunaSearch
from etastar.designs.search.search_space import Space
from etastar.designs.surface.surface import Row, Surface
from etastar.policies.policy import Constant

CRITERION, STEPS = Criterion(), 200
ROWS = [Row("constant", STEPS, Constant()), Row("constant", 50, Constant())]


def bowl(lane: Lane) -> Outcome:
    """Loss 0.1 at the best rate 0.1; from rate 1 a lane diverges."""
    diverged = lane.lr > 1
    loss = math.nan if diverged else 0.1 + 0.05 * (lane.log_lr + 1 + 0.01 * (lane.seed % 7)) ** 2
    status = LaneStatus.DIVERGED if diverged else LaneStatus.TRAINED
    return Outcome(lane, status, None if diverged else 20, lane.steps, first_loss=2.3, end_loss=loss, valid_loss=loss)


DESIGNS = {
    "fixed lanes": lambda: FixedLanes([Lane(0.1, s, STEPS) for s in range(5)], batch=2),
    "eta*": lambda: EtaStar(CRITERION, STEPS, precision=Precision(max_runs=20, min_runs=8)),
    "eta*, at the end": lambda: EtaStar(CRITERION, STEPS, 0.5, until=Until.END, reach=(2.0, 0.5)),
    "best rate": lambda: BestLR(CRITERION, STEPS),
    "best rate, a glance": lambda: BestLR(CRITERION, STEPS, budget=0.6),
    "full length": lambda: FullLength(CRITERION, STEPS),
    "full length, all seeds": lambda: FullLength(CRITERION, STEPS, start=1.0, within=0.01),
    "surface": lambda: Surface(CRITERION, ROWS, (-2.0, -1.5, -1.0)),
    "search": lambda: OptunaSearch(
        Space.of({"lr": {"low": 0.01, "high": 1.0}}), CRITERION, STEPS, Constant(), sampler="random", trials=6, seeds=2
    ),
    "pruned search": lambda: OptunaSearch(
        Space.of({"lr": {"low": 0.01, "high": 1.0}}), CRITERION, STEPS, Constant(), pruner="median", trials=6
    ),
}


def lanes_of(design: Design) -> list[Lane]:
    lanes: list[Lane] = []
    while asked := design.ask():
        lanes += asked
        design.tell(Runs(map(bowl, asked)))
    return lanes


@pytest.mark.parametrize("make", DESIGNS.values(), ids=list(DESIGNS))
def test_no_design_asks_for_more_than_it_planned(make):
    plan = make().planned()
    lanes = lanes_of(make())
    steps = sum(lane.steps for lane in lanes)
    assert 0 < steps <= plan.steps
    trained = len({(lane.lr, lane.seed, lane.settings) for lane in lanes})
    assert 0 < trained <= plan.lanes
    assert plan.steps <= 12 * steps, "a plan that says nothing"


def test_plans_of_known_size():
    assert DESIGNS["fixed lanes"]().planned() == Plan(5, 5 * STEPS)
    assert FullLength(CRITERION, STEPS).planned() == Plan(40, 40 * STEPS)
    assert EtaStar(CRITERION, STEPS, precision=Precision(max_runs=20)).planned() == Plan(13 * 2 + 20, 46 * STEPS)
    assert BestLR(CRITERION, 640).planned() == Plan(12, 6 * 20 + 6 * 320)
    assert Surface(CRITERION, ROWS, (-2.0, -1.5), seeds=1, widen=False, refine=False).planned() == Plan(4, 2 * (200 + 50))
    assert sum((Plan(1, 2), Plan(3, 4)), Plan(0, 0)) == Plan(4, 6)
