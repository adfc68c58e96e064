"""The prior of the best rate: what readings add to it, by hand and by brute force over level and exponent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from etastar.designs.best_rate.rate_prior import BestSeen, RatePrior
from etastar.designs.best_rate.rate_priors import LEVELS, UNKNOWN_SD, at_peak, prior_of
from etastar.policies.named import policy_over
from etastar.policies.policy import Constant

PRIOR = RatePrior(level=-2.0, gamma=0.4, level_sd=0.5, gamma_sd=0.6, scatter=0.2)


def test_one_reading_by_hand():
    """n = 100, T = 10,000: L = -1 and 1. Both are sums of level, exponent and scatter; the cross term is u^2 - g^2."""
    u, g, e, error = 0.5**2, 0.6**2, 0.2**2, 0.25
    at_read, at_goal, cross = u + g + e + error**2, u + g + e, u - g
    weight = cross / at_read
    found = PRIOR.at(10_000, [BestSeen(-1.0, 100, error)])
    assert found.mean == pytest.approx((-2.0 - 0.4) + weight * (-1.0 - (-2.0 + 0.4)))
    assert found.sd == pytest.approx(math.sqrt(at_goal - weight * cross))
    assert weight < 0, "where tasks differ more in exponent than in level, a high rate of short lanes says a low one later"


def test_several_readings_as_a_grid_over_level_and_exponent_has_them():
    readings = [BestSeen(-1.2, 50, 0.3), BestSeen(-1.5, 200, 0.2), BestSeen(-1.4, 800, 0.5)]
    u, g = np.meshgrid(np.linspace(-5, 1, 601), np.linspace(-4, 5, 601))
    log = -0.5 * (((u + 2.0) / 0.5) ** 2 + ((g - 0.4) / 0.6) ** 2)
    for x, steps, error in readings:
        log -= 0.5 * (x - (u - g * math.log10(steps / 1000))) ** 2 / (error**2 + 0.2**2)
    weight = np.exp(log - log.max())
    goal = u - g * math.log10(30_000 / 1000)
    mean = (weight * goal).sum() / weight.sum()
    sd = math.sqrt((weight * (goal - mean) ** 2).sum() / weight.sum() + 0.2**2)
    found = PRIOR.at(30_000, readings)
    assert (found.mean, found.sd) == (pytest.approx(mean, abs=1e-4), pytest.approx(sd, rel=1e-4))


def test_readings_nearer_to_the_horizon_say_more_and_exact_ones_there_say_all():
    shares = [PRIOR.left(10_000, n, 0.25) for n in (300, 1000, 3000, 10_000)]
    assert shares == sorted(shares, reverse=True)
    exact = replace(PRIOR, scatter=0.0)
    assert exact.at(500, [BestSeen(-0.7, 500, 0.0)]) == (pytest.approx(-0.7), pytest.approx(0.0, abs=1e-7))


def test_the_exponent_may_be_of_either_sign():
    rising = PRIOR.at(10_000, [BestSeen(-2.6, 500, 0.05), BestSeen(-2.2, 2000, 0.05)])
    falling = PRIOR.at(10_000, [BestSeen(-2.2, 500, 0.05), BestSeen(-2.6, 2000, 0.05)])
    assert rising.mean > -2.2 > -2.6 > falling.mean


def test_the_prior_of_a_schedule_is_that_of_its_mean_rate():
    flat, cosine = (prior_of("AdamW", False, policy, 2000) for policy in (Constant(), policy_over("cosine", 2000)))
    assert cosine.level - flat.level == pytest.approx(math.log10(2), abs=0.01)
    assert at_peak(flat, Constant(), 2000) == flat


def test_an_optimizer_that_no_task_has_used_is_known_badly():
    assert prior_of("SGD", True, Constant(), 100).level == LEVELS["momentum"]
    assert prior_of("NAdam", False, Constant(), 100).level == LEVELS["adam"]
    assert prior_of("Mystery", False, Constant(), 100).level_sd == UNKNOWN_SD
