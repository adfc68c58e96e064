"""`planned()`: sizes known by hand, and plans that say something; conformance holds that they are kept."""

from __future__ import annotations

import pytest

from catalog_experiments import CRITERION, DESIGNS
from etastar.core.design import Plan
from etastar.core.lane import Lane, Runs
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.full_length import FullLength
from etastar.designs.eta_star.eta_star import EtaStar, Precision
from etastar.designs.fixed_lanes import FixedLanes
from etastar.designs.surface.surface import Row, Surface
from etastar.policies.policy import Constant
from etastar.testing import SyntheticEngine, Truth

STEPS = 200
ROWS = [Row("constant", STEPS, Constant()), Row("constant", 50, Constant())]


@pytest.mark.parametrize("name", DESIGNS)
def test_a_plan_is_no_more_than_twelve_times_what_is_taken(name):
    design, engine, steps = DESIGNS[name](), SyntheticEngine(Truth(noise=0.05)), 0
    planned = design.planned()
    while lanes := design.ask():
        steps += sum(lane.steps for lane in lanes)
        design.tell(Runs(map(engine.outcome, lanes)))
    assert planned.steps <= 12 * steps, "a plan that says nothing"


def test_plans_of_known_size():
    assert FixedLanes([Lane(0.1, s, STEPS) for s in range(5)], batch=2).planned() == Plan(5, 5 * STEPS)
    assert FullLength(CRITERION, STEPS).planned() == Plan(40, 40 * STEPS)
    assert EtaStar(CRITERION, STEPS, precision=Precision(max_runs=20)).planned() == Plan(13 * 2 + 20, 46 * STEPS)
    assert BestLR(CRITERION, 640).planned() == Plan(13, round(3.2 * 640)), (
        "two rungs and a last look, as far as the budget goes"
    )
    assert Surface(CRITERION, ROWS, (-2.0, -1.5), seeds=1, widen=False, refine=False).planned() == Plan(4, 2 * (200 + 50))
    assert sum((Plan(1, 2), Plan(3, 4)), Plan(0, 0)) == Plan(4, 6)
