"""The flank's posterior: against a direct computation, and under translation."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.designs.eta_star.psychometric import LAPSE_PRIOR, LAPSES, WIDTH_MEDIAN, WIDTH_SD, WIDTHS, Flank

TRIALS = [(-1.4, True), (-1.1, True), (-1.0, False), (-0.9, True), (-0.8, False), (-0.4, False)]


def test_the_posterior_is_prior_times_likelihood():
    flank = Flank(-2.0, 0.0)
    for x, success in TRIALS:
        flank.update(x, success)
    rng = np.random.default_rng(0)
    direct, ours = [], []
    for _ in range(40):
        i, j, k, m = (int(rng.integers(n)) for n in (len(flank.mu), len(WIDTHS), len(LAPSES), len(LAPSES)))
        mu, w, below, above = flank.mu[i], WIDTHS[j], LAPSES[k], LAPSES[m]
        log = -0.5 * (np.log(w / WIDTH_MEDIAN) / WIDTH_SD) ** 2 + np.log(LAPSE_PRIOR[k] * LAPSE_PRIOR[m])
        for x, success in TRIALS:
            p = above + (1 - above - below) / (1 + np.exp(-2 * np.log(9) * (mu - x) / w))
            log += np.log(max(p if success else 1 - p, 1e-4))
        direct.append(log)
        ours.append(np.log(flank.posterior[i, j, k, m]))
    gap = np.array(ours) - np.array(direct)
    assert np.ptp(gap) < 1e-9, "equal up to one normalising constant"


@pytest.mark.parametrize("shift", [-3.0, 0.5, 4.0])
def test_shifting_every_rate_shifts_every_answer(shift):
    here, there = Flank(-2.0, 0.0), Flank(-2.0 + shift, 0.0 + shift)
    for x, success in TRIALS:
        here.update(x, success)
        there.update(x + shift, success)
    levels = [0.05, 0.5, 0.95]
    assert there.mu_quantiles(levels) == pytest.approx(here.mu_quantiles(levels) + shift, abs=1e-9)
    assert there.point_quantiles(0.9, levels) == pytest.approx(here.point_quantiles(0.9, levels) + shift, abs=1e-9)
    assert there.width_quantiles(levels) == pytest.approx(here.width_quantiles(levels))
    assert there.placements(8) == pytest.approx(np.array(here.placements(8)) + shift, abs=1e-9)


def test_the_curve_falls_and_its_interval_holds_its_mean():
    flank = Flank(-2.0, 0.0)
    for x, success in TRIALS * 4:
        flank.update(x, success)
    mean, low, high = flank.curve(np.linspace(-2, 0, 31))
    assert np.all(np.diff(mean) <= 1e-12) and np.all(low <= mean) and np.all(mean <= high)


def test_half_succeed_at_mu_and_nine_of_ten_one_half_width_below_it():
    flank = Flank(-2.0, 0.0)
    rng = np.random.default_rng(1)
    for _ in range(800):
        x = rng.uniform(-1.6, -0.4)
        flank.update(x, bool(rng.random() < 1 / (1 + np.exp(-2 * np.log(9) * (-1.0 - x) / 0.3))))
    assert flank.mu_quantiles([0.5])[0] == pytest.approx(-1.0, abs=0.03)
    assert flank.point_quantiles(0.9, [0.5])[0] == pytest.approx(-1.15, abs=0.04)
    assert flank.width_quantiles([0.5])[0] == pytest.approx(0.3, rel=0.2)
