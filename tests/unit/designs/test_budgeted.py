"""A budget of the user's: what it buys at every horizon, when it decides, and what it says when it does not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from etastar import Criterion, ProblemError, Status
from etastar.core.estimate import Estimate
from etastar.core.lane import Runs
from etastar.designs.best_rate.best_rate import BestRate, RungPoint, RungResult, Share
from etastar.designs.best_rate.budgeted import (
    ERROR,
    LANES,
    QUANTILE,
    SHORTEST,
    UNDECIDED,
    Budgeted,
    believed,
    rung_of,
    weighed,
)
from etastar.designs.best_rate.rate_prior import BestSeen, RatePrior
from etastar.testing import SyntheticEngine, Truth

PRIOR = RatePrior(level=-1.5, gamma=0.4, level_sd=0.6, gamma_sd=0.3, scatter=0.1)


def bought(steps, budget, truth, prior=PRIOR):
    """(rate, what was bought, lanes trained) of a budget where the truth is known."""
    design, engine = Budgeted(Criterion(), steps, prior, budget), SyntheticEngine(truth)
    while lanes := design.ask():
        design.tell(Runs(outcome for _, outcome in engine.train(None, lanes)))
    best, paid = design.answer()
    return best.lr, paid, engine.trained


@pytest.mark.parametrize("steps", [60, 500, 10_000, 300_000, 10_000_000])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.05, 0.5])
def test_every_horizon_has_an_answer_or_a_refusal_within_the_budget(steps, share):
    budget = int(share * steps)
    if budget < min(SHORTEST, steps):
        with pytest.raises(ProblemError, match="buy no lane of 20; expected 60 or more"):
            rung_of(budget, steps)
        return
    lr, paid, lanes = bought(steps, budget, Truth(best=0.02, horizon=steps, gamma=0.4, eta_star=1e3))
    assert sum(lane.steps for lane in lanes) <= budget
    assert {lane.steps for lane in lanes} == {paid.lane_steps} and paid.lane_steps == max(SHORTEST, budget // LANES)
    assert paid.extrapolation == steps / paid.lane_steps and paid.lanes == len(lanes)
    assert lr.ok or lr.status is Status.PRIOR_ONLY
    assert lr.low < paid.prior.value < lr.high or lr.ok


def test_lanes_near_the_horizon_decide_and_move_by_the_exponent():
    """Exponents hardly differ here, so that the answer is the truth, in an interval narrower than the prior's."""
    known = RatePrior(level=-1.5, gamma=0.4, level_sd=0.8, gamma_sd=0.02, scatter=0.02)
    truth = Truth(best=0.004, horizon=4000, gamma=0.4, eta_star=1e3)
    lr, paid, _ = bought(4000, 2000, truth, known)
    assert lr.ok and lr.low < 0.004 < lr.high
    assert abs(math.log10(lr.value / 0.004)) < 0.1
    assert lr.high / lr.low < paid.prior.high / paid.prior.low
    assert paid.left < UNDECIDED


def test_where_exponents_differ_too_much_the_answer_is_the_prior_and_the_next_purchase_would_decide():
    wild = RatePrior(level=-1.5, gamma=0.4, level_sd=0.4, gamma_sd=0.5, scatter=0.1)
    truth = Truth(best=0.02, horizon=10_000, gamma=0.4, eta_star=0.5, width=0.0)
    lr, paid, lanes = bought(10_000, 500, truth, wild)
    assert lr.status is Status.PRIOR_ONLY and lr.value is None
    assert paid.prior.value == pytest.approx(10 ** wild.at(10_000).mean)
    assert (lr.low, lr.high) == (paid.prior.low, paid.prior.high)
    assert paid.stable == max(lane.lr for lane in lanes if lane.lr < 0.5)
    assert paid.next and paid.next.full_runs == paid.next.steps / 10_000 > 0.05
    later, _, _ = bought(10_000, paid.next.steps, truth, wild)
    assert later.ok


def test_lanes_that_all_diverge_leave_the_prior_and_nothing_stable():
    lr, paid, _ = bought(1000, 400, Truth(best=0.02, horizon=1000, eta_star=1e-9, width=0.0))
    assert lr.status is Status.PRIOR_ONLY and paid.left == 1.0 and paid.stable is None


def test_a_time_limit_before_the_first_lane_leaves_the_prior():
    design = Budgeted(Criterion(), 1000, PRIOR, 400)
    design.stop("time-limit")
    assert not design.ask()
    best, paid = design.answer()
    assert best.lr.status is Status.PRIOR_ONLY and paid.lanes == 0


def test_a_glance_is_weighed_as_two_gaussians_are():
    """No exponent, no scatter: mean = (prior / sd^2 + read / error^2) / (1 / sd^2 + 1 / error^2)."""
    points = tuple(RungPoint(10**x, -1.0, 1.0) for x in (-1.5, -1.0, -0.5))
    rung = RungResult(100, points, best=0.1, bracketed=True)
    short = BestRate(Estimate(0.05, 0.01, 0.1), (0.02, 0.08), Share(3, 3), (rung,), "validation loss", 0.5)
    prior = RatePrior(level=-2.0, gamma=0.0, level_sd=0.5, gamma_sd=0.0, scatter=0.0)
    lr = weighed(short, prior, 800).lr
    precision = 1 / 0.5**2 + 1 / ERROR**2
    mean = (-2.0 / 0.5**2 - 1.0 / ERROR**2) / precision
    assert math.log10(lr.value) == pytest.approx(mean)
    assert math.log10(lr.high / lr.low) == pytest.approx(2 * QUANTILE / precision**0.5)
    low, high = weighed(short, prior, 800).plateau
    assert low / lr.value == pytest.approx(0.4) and high / lr.value == pytest.approx(1.6), "it moves with the rate"


def test_a_glance_that_learned_nothing_stays_as_it_is():
    none = RungResult(100, (RungPoint(0.1, 0.0, 1.0),) * 3, best=None, bracketed=False)
    short = BestRate(Estimate.none(Status.NO_PROGRESS, "nothing"), None, Share(0, 3), (none,), "validation loss", 0.5)
    assert weighed(short, PRIOR, 800) is short


def test_a_task_far_from_the_level_is_hardly_drawn_back_from_what_its_lanes_say():
    far = [BestSeen(PRIOR.at(500).mean - 2.0, 500, ERROR)]
    drawn, kept = PRIOR.at(2000, far), believed(PRIOR, 2000, far)
    assert kept.mean < drawn.mean < PRIOR.at(2000).mean and kept.sd == drawn.sd
    vague = replace(PRIOR, level_sd=2.0)
    assert believed(vague, 2000, far) == vague.at(2000, far), "nobody is made surer than he is"
