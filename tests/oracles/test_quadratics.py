"""Known answers: on quadratics the instrument must find what arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest

import etastar
from diagonal import diagonal
from etastar import Criterion, Lane, Options
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.problems.quadratic import best_lr, exact_eta_star, loss_curve, quadratic, stability_edge

SPECTRA = [[1.0, 0.5, 0.2, 0.1, 0.05], [30.0, 1.0], [0.002, 0.001]]


def find(problem: etastar.Problem) -> etastar.Estimate:
    """eta* at the default precision, without eta*_end."""
    options = Options(store=":memory:", workers=1)
    return etastar.eta_star(problem, options=options).estimate


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("lr", [0.01, 0.5, 1.9])
def test_a_lane_follows_the_exact_loss_curve(momentum, lr):
    problem = quadratic(SPECTRA[0], momentum=momentum)
    outcome = LoopEngine().train_lane(problem, Lane(lr, 0, 60, Criterion(loss=-1.0), Until.END))
    assert [r.loss for r in outcome.trace] == pytest.approx(loss_curve(lr, 60, SPECTRA[0], momentum), rel=1e-10)


@pytest.mark.parametrize(("spectrum", "momentum"), diagonal(SPECTRA, [0.0, 0.9]))
def test_the_exact_eta_star_is_inside_the_interval(spectrum, momentum):
    problem = quadratic(spectrum, momentum=momentum, lr=0.1 / max(spectrum))
    truth = exact_eta_star(Criterion(loss=problem.loss_threshold), 200, spectrum, momentum)
    e = find(problem)
    assert e.low <= truth <= e.high, f"{truth} in [{e.low}, {e.high}]"
    assert e.value == pytest.approx(truth, rel=0.1)


def test_the_edge_for_many_steps_is_two_over_the_largest_curvature():
    criterion = Criterion(loss=0.25 * 1.85)
    assert exact_eta_star(criterion, 2000) == pytest.approx(stability_edge(), rel=1e-3)


def test_the_best_rate_runs_from_the_cauchy_step_to_two_over_the_sum():
    h = np.array([1.0, 0.2])
    assert best_lr(1, h) == pytest.approx((h**2).sum() / (h**3).sum(), rel=1e-5)
    assert best_lr(4000, h) == pytest.approx(2 / (h.min() + h.max()), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_scaling_the_loss_scales_sgds_eta_star_inversely(scale):
    problem = quadratic([1.0, 0.1], scale=scale, lr=0.1)
    truth = exact_eta_star(Criterion(loss=0.25 * 1.1), 200, [1.0, 0.1]) / scale
    e = find(problem)
    assert e.low <= truth <= e.high


@pytest.mark.slow
def test_noisy_quadratics_are_covered_in_at_least_85_of_100_seeds():
    from benchmarks.quadratics import noisy_rows

    assert sum(row["inside"] for row in noisy_rows([0.3], 100)) >= 85
