"""The law of the final loss: what it recovers, where its intervals hold the truth, and where it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from etastar import Law, Status
from etastar.core import LaneStatus
from etastar.laws import Record, SurfaceLaw
from etastar.laws.law import median
from etastar.problems.quadratic import loss_curve

RATES = np.arange(-2.5, 0.51, 0.25)


def exact(x: float, horizon: int) -> float:
    """The loss of the quadratic after `horizon` steps at rate 10^x."""
    return float(loss_curve(10**x, horizon + 1)[-1])


def bowl(x: float, horizon: int) -> float:
    """Log loss of a made-up training: skewed around 10^-1.2 x (horizon / 100)^-0.5, steep above."""
    d = x + 1.2 + 0.5 * math.log10(horizon / 100)
    return -2 - 0.3 * math.log(horizon / 100) + (1.2 * d * d if d < 0 else 0.8 * d * d + 3 * max(d - 0.6, 0) ** 2)


def records(seed: int, *, noise: float = 0.05, shift: float = 0.1, seeds: int = 3) -> list[Record]:
    rng = np.random.default_rng(seed)
    shifts = rng.normal(0, shift, seeds)
    return [
        Record(10**x, "cosine", horizon, s, math.exp(bowl(x, horizon) + shifts[s] + rng.normal(0, noise)))
        for horizon in (100, 200, 400)
        for x in RATES
        for s in range(seeds)
    ]


@pytest.fixture(scope="module")
def law() -> SurfaceLaw:
    return SurfaceLaw.fit(records(0))


def test_it_refuses_without_data():
    assert isinstance(SurfaceLaw.fit([]), Law)
    refusal = SurfaceLaw.fit([]).predict(0.1, "cosine", 100)
    assert refusal.value is None and refusal.status is Status.OUTSIDE_THE_LAW and "was not measured" in refusal.reason


def test_the_best_rate_its_fall_with_the_horizon_and_the_loss_are_recovered(law):
    for horizon in (100, 150, 400):
        best, truth = law.best_lr("cosine", horizon), 10 ** (-1.2 - 0.5 * math.log10(horizon / 100))
        assert best.low <= truth <= best.high and best.value == pytest.approx(truth, rel=0.3)
        low, high = law.plateau("cosine", horizon)
        assert low <= best.value <= high
    gamma = law.horizon_exponent("cosine")
    assert gamma.low <= 0.5 <= gamma.high and 0 < gamma.value < 1
    assert law.predict(0.05, "cosine", 200).value == pytest.approx(math.exp(bowl(math.log10(0.05), 200)), rel=0.25)


def test_between_its_rates_it_predicts_the_exact_losses_of_a_quadratic():
    told = [Record(10**x, "constant", T, 0, exact(x, T)) for T in (50, 100, 200) for x in np.arange(-2.5, 0.26, 0.25)]
    law = SurfaceLaw.fit(told)
    inside, widths = [], []
    for horizon in (50, 70, 100, 130, 200):
        for x in np.linspace(-2.5, 0.25, 40):
            e = law.predict(10**x, "constant", horizon)
            inside.append(e.low <= exact(x, horizon) <= e.high)
            widths.append(math.log(e.high / e.low))
    assert np.mean(inside) >= 0.85
    assert np.median(widths) < 0.5


OUTSIDE = {
    "a rate above": ((5.0, "cosine", 200), "lr 5 is above the rates that train"),
    "a rate below": ((1e-4, "cosine", 200), "lr 0.0001 is below the rates that train"),
    "a horizon beyond": ((0.05, "cosine", 800), "800 steps are outside the measured horizons"),
    "a shorter horizon": ((0.05, "cosine", 50), "50 steps are outside the measured horizons"),
    "another schedule": ((0.05, "wsd", 200), "schedule wsd was not measured, only cosine"),
}


@pytest.mark.parametrize(("where", "words"), OUTSIDE.values(), ids=OUTSIDE.keys())
def test_outside_its_data_it_refuses(law, where, words):
    refusal = law.predict(*where)
    assert refusal.value is None and refusal.status is Status.OUTSIDE_THE_LAW and words in refusal.reason
    assert where[1] == "cosine" or not law.best_lr(*where[1:]).ok


def test_rates_that_diverge_end_its_range_and_bound_the_best_rate():
    told = [Record(10**x, "constant", 100, 0, math.exp(-x) if x < 0 else math.inf) for x in np.arange(-2, 0.6, 0.25)]
    law = SurfaceLaw.fit(told)
    best = law.best_lr("constant", 100)
    assert best.value == pytest.approx(10**-0.25) and best.high >= 1.0
    assert "above the rates that train" in law.predict(1.5, "constant", 100).reason
    assert law.horizon_exponent("constant").status is Status.TOO_FEW_POINTS


def test_a_loss_that_still_falls_at_the_last_rate_is_edge_of_range():
    told = [Record(10**x, "constant", T, 0, math.exp(-x)) for T in (50, 100) for x in np.arange(-2, 0.6, 0.25)]
    law = SurfaceLaw.fit(told)
    best = law.best_lr("constant", 50)
    assert best.status is Status.EDGE_OF_RANGE and best.low == pytest.approx(10**0.5) and "highest rate" in best.reason
    assert law.horizon_exponent("constant").status is Status.EDGE_OF_RANGE


def test_three_rates_are_too_few():
    law = SurfaceLaw.fit([Record(10**x, "constant", 100, 0, 1.0 + x * x) for x in (-1.0, 0.0, 1.0)])
    assert law.predict(1.0, "constant", 100).status is Status.TOO_FEW_POINTS
    assert law.best_lr("constant", 100).status is Status.TOO_FEW_POINTS


def test_losses_that_are_not_positive_are_fitted_as_they_are():
    law = SurfaceLaw.fit([Record(10**x, "constant", 100, 0, (x + 0.5) ** 2 - 0.1) for x in np.arange(-2, 1.1, 0.25)])
    assert law.best_lr("constant", 100).value == pytest.approx(10**-0.5, rel=0.1)
    assert law.predict(10**-0.5, "constant", 100).value == pytest.approx(-0.1, abs=0.02)


def test_half_of_the_seeds_diverging_is_no_loss():
    assert median([0.1, math.inf]) == math.inf and median([0.1, 0.2, math.inf]) == 0.2
    assert Record(0.1, "constant", 10, 0, math.inf, status=LaneStatus.DIVERGED).log_lr == pytest.approx(-1)


def test_the_intervals_usually_hold_the_truth():
    """A quick look; the slow test below is the claim."""
    losses, rates, gammas = coverage(range(5))
    assert np.mean(losses) >= 0.8 and np.mean(rates) >= 0.8 and np.mean(gammas) >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "shift"), [(0.05, 0.1), (0.2, 0.0), (0.02, 0.3)])
def test_coverage_of_the_90_percent_intervals(noise, shift):
    losses, rates, gammas = coverage(range(100), noise=noise, shift=shift)
    print(
        f"noise {noise}, shift {shift}: loss {np.mean(losses):.3f}, rate {np.mean(rates):.3f}, gamma {np.mean(gammas):.3f}"
    )
    assert min(np.mean(losses), np.mean(rates), np.mean(gammas)) >= 0.85


def coverage(replicates, **settings) -> tuple[list[bool], list[bool], list[bool]]:
    """Whether the intervals of losses, best rates and exponents hold the truth."""
    losses, rates, gammas = [], [], []
    for seed in replicates:
        law, rng = SurfaceLaw.fit(records(seed, **settings)), np.random.default_rng(1000 + seed)
        for horizon in (100, 150, 400):
            for x in rng.uniform(-2.5, 0.5, 8):
                e = law.predict(10**x, "cosine", horizon)
                losses.append(e.low <= math.exp(bowl(x, horizon)) <= e.high)
            e = law.best_lr("cosine", horizon)
            rates.append(e.ok and e.low <= 10 ** (-1.2 - 0.5 * math.log10(horizon / 100)) <= e.high)
        e = law.horizon_exponent("cosine")
        gammas.append(e.ok and e.low <= 0.5 <= e.high)
    return losses, rates, gammas
