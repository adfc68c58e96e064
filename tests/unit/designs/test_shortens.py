"""What a search does whose lanes do not end in time."""

from __future__ import annotations

import pytest

from etastar import Criterion
from etastar.core.design import Shortens
from etastar.core.lane import Runs
from etastar.designs.best_rate.best_lr import BestLR
from etastar.testing import SyntheticEngine, Truth


def told(design: BestLR, batches: int) -> None:
    engine = SyntheticEngine(Truth(noise=0.05))
    for _ in range(batches):
        lanes = list(design.ask())
        done = dict(engine.train(None, lanes))
        design.tell(Runs(done[i] for i in range(len(lanes))))


def in_main_rung(design: BestLR) -> None:
    while next(iter(design.ask())).steps == 40:
        told(design, 1)


def test_a_rung_of_which_no_lane_has_run_takes_what_fits():
    design = BestLR(Criterion(), 1280, start=0.1)
    assert isinstance(design, Shortens) and [lane.steps for lane in design.ask()] == [40] * 3
    design.shorten(lambda lanes: 180 // lanes)
    assert [lane.steps for lane in design.ask()] == [30] * 3, "six lanes of the rung fit"
    design.shorten(lambda lanes: 70 // lanes)
    assert [lane.steps for lane in design.ask()] == [23] * 3, "three do"
    design.shorten(lambda lanes: 59 // lanes)
    assert list(design.ask()) == [] and "no time for three lanes of 20 steps" in design.answer().lr.reason


def test_a_main_rung_is_shortened_where_it_stays_much_longer_than_the_scan():
    design = BestLR(Criterion(), 1280, start=0.1)
    in_main_rung(design)
    design.shorten(lambda lanes: 100)
    lanes = design.ask()
    assert {lane.steps for lane in lanes} == {100} and len(lanes) == 3
    told(design, 1)
    answer = design.answer()
    assert [rung.steps for rung in answer.rungs] == [40, 100] and answer.lr.flags.count("time-limit") == 1
    design.shorten(lambda lanes: 99)
    assert list(design.ask()) == [], "lanes of one rung have one length"
    assert design.answer().lr.flags.count("time-limit") == 1


@pytest.mark.parametrize("fits", [0, 79])
def test_else_the_scan_has_to_do(fits):
    design = BestLR(Criterion(), 1280, start=0.1)
    in_main_rung(design)
    design.shorten(lambda lanes: fits)
    answer = design.answer()
    assert list(design.ask()) == [] and answer.lr.ok and "time-limit" in answer.lr.flags


@pytest.mark.parametrize("steps", [1280, 1289, 1311])
def test_whether_a_scan_answers_does_not_depend_on_the_remainder(steps):
    design = BestLR(Criterion(), steps, start=0.1)
    in_main_rung(design)
    design.shorten(lambda lanes: 0)
    assert design.answer().lr.ok
