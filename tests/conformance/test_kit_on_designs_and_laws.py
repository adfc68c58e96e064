"""The checks of designs and laws fail on classes that are broken, each in its own way, and say how."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from catalog_experiments import CRITERION, LAWS
from etastar import Criterion, Estimate, Lane, Status
from etastar.core import Until
from etastar.core.design import Plan
from etastar.designs import EtaStar
from etastar.designs.fixed_lanes import FixedLanes
from etastar.laws import PowerLaw
from etastar.testing import (
    SyntheticEngine,
    Truth,
    check_design,
    check_law,
)

# -- designs -----------------------------------------------------------------------------------------------------------


def lanes(n: int = 6) -> list[Lane]:
    return [Lane(0.1 * (i + 1), i, 10, CRITERION, Until.END) for i in range(n)]


class Table(FixedLanes):
    """Two lanes at a time."""

    def __init__(self) -> None:
        super().__init__(lanes(), batch=2)


class Draws(Table):
    draws = itertools.count()

    def ask(self):
        return [replace(lane, seed=next(self.draws)) for lane in super().ask()]


class Endless(Table):
    def ask(self):
        return lanes(1)


class GoesOnWhenStopped(Table):
    def stop(self, flag):
        pass


class Mumbles(Table):
    answers = itertools.count()

    def answer(self) -> Any:
        return next(self.answers)


class CannotAnswerEarly(Table):
    def answer(self):
        return super().answer()[5]


class PlansLess(Table):
    def planned(self):
        return Plan(2, 20)


class AsksForRates(Table):
    def ask(self):
        return [lane.lr for lane in super().ask()]


BROKEN_DESIGNS = {
    Draws: "asked for other lanes in batch 1",
    Endless: "no end is in sight",
    GoesOnWhenStopped: "was stopped after 0 batches and asked for lanes",
    Mumbles: "the second answer of Mumbles is not its first",
    CannotAnswerEarly: r"was stopped after 0 batches and could not answer \(IndexError",
    PlansLess: "took 6 lanes and 60 steps; expected at most 2 and 20",
    AsksForRates: "asked for a float; expected an etastar.Lane",
}


def test_a_design_that_keeps_the_contract_passes():
    check_design(Table, SyntheticEngine(Truth(width=0.0)))


@pytest.mark.parametrize(("broken", "how"), BROKEN_DESIGNS.items(), ids=[broken.__name__ for broken in BROKEN_DESIGNS])
def test_a_broken_design_fails(broken, how):
    with pytest.raises(AssertionError, match=how):
        check_design(broken, SyntheticEngine(Truth(width=0.0)))


def test_what_widens_beyond_its_plan_must_say_so():
    with pytest.raises(AssertionError, match="expected at most 74"):
        check_design(lambda: EtaStar(Criterion(), steps=40), SyntheticEngine(Truth(eta_star=1e-12)))


# -- laws --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sure:
    """A law that says what it is told to."""

    low: float = 0.9
    high: float = 1.1
    status: Status = Status.OK

    def predict(self, *query: Any) -> Any:
        if self.status is Status.OK:
            return Estimate(1.0, self.low, self.high)
        return Estimate.none(self.status, "not here")


class Guesses(Sure):
    def predict(self, *query):
        return 1.0


@pytest.mark.parametrize(
    ("fit", "outside", "how"),
    [
        (lambda seed: Sure(0.999, 1.001), (), "0 of 40 intervals of Sure at .* hold the truth 1.05; expected 90%"),
        (lambda seed: Sure(1.0, 1.04 + 0.02 * (seed % 2)), (), "20 of 40 intervals of Sure"),
        (lambda seed: Sure(), (("far",),), "says 1.0 at .* outside its data; expected no value"),
        (lambda seed: Sure(status=Status.TOO_FEW_POINTS), (), "has no value at .* expected one"),
        (lambda seed: Guesses(), (), "predicts a float"),
    ],
    ids=["too sure", "half right", "beyond its data", "mute", "no estimate"],
)
def test_a_broken_law_fails(fit, outside, how):
    with pytest.raises(AssertionError, match=how):
        check_law(fit, lambda query: 1.05, [("here",)], outside)


def test_a_refusal_needs_its_own_status_and_a_law_of_no_data_must_refuse():
    flat = lambda seed: Sure(status=Status.FLAT)
    with pytest.raises(AssertionError, match="with the status flat; expected outside-the-law or too-few-points"):
        check_law(flat, lambda query: 1.0, [], [("far",)])
    with pytest.raises(AssertionError, match="without data; expected no value"):
        check_law(lambda seed: Sure(), lambda query: 1.0, [("here",)], [], empty=Sure())


def test_a_power_law_without_its_scatter_is_found_out():
    class Sharp(PowerLaw):
        def _quantile(self):
            return 0.01

    law = LAWS["power law"]
    sizes = {"width": [32, 64, 128, 256, 512]}
    noisy = lambda seed: 3.0 / np.array(sizes["width"]) * 10 ** np.random.default_rng(seed).normal(0, 0.05, 5)
    assert law.inside
    with pytest.raises(AssertionError, match="intervals of Sharp"):
        check_law(lambda seed: Sharp.fit(sizes, noisy(seed)), lambda target: 3.0 / target["width"], [({"width": 100},)], [])
