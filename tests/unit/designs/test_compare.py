"""Policies at equal budget: peaks are found, nobody gets more than the others, seeds are shared."""

from __future__ import annotations

import math
from typing import Any

import pytest

from etastar import Criterion, ProblemError, Runs, Times
from etastar.designs.compare import Compare
from etastar.policies import Constant, Policy, Schedule
from etastar.testing import SyntheticEngine, Truth, check_design

CRITERION = Criterion()
POLICIES: dict[str, Policy] = {"linear": Schedule(decay=1.0).over(100), "half": Times(Constant(), 0.5), "whole": Constant()}


def told(design: Compare, outcomes: Any) -> Any:
    while lanes := design.ask():
        design.tell(Runs(outcomes(lanes)))
    return {own.name: own for own in design.answer()}


def by_policy(best: dict[Any, float]) -> Any:
    """Lanes whose loss is lowest at a rate of each policy's own."""
    engines = {policy: SyntheticEngine(Truth(eta_star=1e3, best=lr, depth=2.5)) for policy, lr in best.items()}
    return lambda lanes: [engines[lane.policy].outcome(lane) for lane in lanes]


@pytest.mark.parametrize("budget", [12, 23, 24, 30, 60])
def test_every_policy_gets_the_same_and_no_more(budget: int) -> None:
    found = told(Compare(CRITERION, 100, POLICIES, 0.1, budget), by_policy(dict.fromkeys(POLICIES.values(), 0.1)))
    trainings = {own.trainings for own in found.values()}
    assert len(trainings) == 1
    assert max(trainings) <= budget
    assert all(len(own.final) == max(round(budget / 3), 3) for own in found.values())


def test_each_is_compared_at_a_peak_of_its_own() -> None:
    best = dict(zip(POLICIES.values(), (0.1, 0.2, 0.05), strict=True))
    found = told(Compare(CRITERION, 100, POLICIES, 0.1, 30), by_policy(best))
    for own in found.values():
        assert own.peak == pytest.approx(best[own.policy], rel=1e-9)
        assert all(outcome.lane.lr == own.peak for outcome in own.final)
        assert not own.at_the_end


def test_a_peak_beyond_the_grid_is_followed_while_the_budget_lasts() -> None:
    best = dict(zip(POLICIES.values(), (0.1 * 2**4, 0.1 / 2**4, 1e3), strict=True))
    found = told(Compare(CRITERION, 100, POLICIES, 0.1, 48), by_policy(best))
    assert found["linear"].peak == pytest.approx(1.6)
    assert found["half"].peak == pytest.approx(0.1 / 16)
    assert found["whole"].at_the_end


def test_all_policies_share_their_fresh_seeds_and_search_on_others() -> None:
    found = told(Compare(CRITERION, 100, POLICIES, 0.1, 30), by_policy(dict.fromkeys(POLICIES.values(), 0.1)))
    fresh = {tuple(outcome.lane.seed for outcome in own.final) for own in found.values()}
    searched = {o.lane.seed for own in found.values() for outcomes in own.tried.values() for o in outcomes}
    assert len(fresh) == 1
    assert searched.isdisjoint(next(iter(fresh)))


def test_a_policy_that_never_trains_has_no_peak_and_costs_no_fresh_seed() -> None:
    engine = SyntheticEngine(Truth(eta_star=1e-9, width=0.0))
    found = told(
        Compare(CRITERION, 100, {"linear": POLICIES["linear"]}, 0.1, 30), lambda ls: [engine.outcome(x) for x in ls]
    )
    assert (found["linear"].peak, found["linear"].final) == (None, ())


def test_it_keeps_the_contract_of_a_design() -> None:
    check_design(lambda: Compare(CRITERION, 100, POLICIES, 0.1, 30))


def test_a_budget_that_buys_no_comparison_is_refused() -> None:
    with pytest.raises(ProblemError, match="the budget is 11 trainings of every policy; expected 12 or more: seven"):
        Compare(CRITERION, 100, POLICIES, 0.1, 11)
    assert math.isfinite(Compare(CRITERION, 100, POLICIES, 0.1, 12).planned().steps)
