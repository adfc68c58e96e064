"""What a curve says of itself, and what is no curve."""

from __future__ import annotations

import numpy as np
import pytest

from etastar import ProblemError
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.logged_rates import rates_of_every_update
from loss_curves import SCHEDULES, WARMUP, curve, fading, warmed


@pytest.mark.parametrize(
    ("name", "annealed", "constant", "abrupt"),
    [
        ("constant", False, True, False),
        ("cosine", True, False, False),
        ("linear", True, False, False),
        ("wsd", True, False, True),
        ("two stages", True, False, True),
    ],
)
def test_a_curve_knows_its_schedule(name, annealed, constant, abrupt):
    found = curve(name, fading)
    assert (found.annealed, found.constant, found.abrupt) == (annealed, constant, abrupt)
    assert found.warmup == WARMUP - 1 and found.peak == pytest.approx(1e-3)
    assert found.fitted.steps[0] == 800, "the first multiple of 100 beyond 6 % of 12,000"


def test_what_was_known_earlier_is_a_curve():
    whole = curve("wsd", fading, passes=1.0)
    half = whole.until(6000)
    assert half.steps[-1] == 6000 and len(half.rates) == 6000 and half.passes == 0.5 and half.constant
    assert not half.annealed and whole.annealed


def test_noise_is_read_off_neighbours():
    for sd in (1e-3, 1e-2):
        assert curve("cosine", fading, noise=sd, every=10).noise == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"steps": [1, 3, 2]}, "steps that do not rise"),
        ({"steps": [1, 2, 2]}, "steps that do not rise"),
        ({"steps": [1, 2]}, "2 steps, 3 losses and 3 weights; expected as many"),
        ({"steps": [], "losses": []}, "0 steps, 0 losses"),
        ({"losses": [2.0, float("nan"), 1.0]}, "a loss of nan; laws of loss curves need finite losses > 0"),
        ({"losses": [2.0, 0.0, 1.0]}, "a loss of 0;"),
        ({"losses": [2.0, -1.0, 1.0]}, "a loss of -1;"),
        ({"rates": [0.1, 0.1]}, "a loss at step 3 and rates of 2 updates"),
        ({"rates": [0.1, -0.1, 0.1]}, "no list of finite numbers >= 0"),
        ({"rates": [0.0, 0.0, 0.0]}, "no list of finite numbers >= 0"),
        ({"weights": [1.0, 0.0, 1.0]}, "a weight that is not > 0"),
        ({"kind": "test"}, "expected one of validation, training"),
    ],
)
def test_what_is_no_curve_is_refused_in_a_sentence(fields, sentence):
    given = {"steps": [1, 2, 3], "losses": [3.0, 2.0, 1.0], "rates": [0.1] * 3, "name": "mine"} | fields
    with pytest.raises(ProblemError, match=sentence):
        Curve(**given)


def test_a_run_that_only_warmed_up_cannot_be_fitted():
    with pytest.raises(ProblemError, match="no loss after its warm-up of 99 updates; give one that ran longer"):
        _ = Curve([10, 50], [3.0, 2.0], np.arange(1, 101) / 100).fitted


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_come_back_from_a_sparse_log(name):
    rates = warmed(SCHEDULES[name])
    at = np.arange(WARMUP, len(rates) + 1, 50)
    found = rates_of_every_update(at, rates[at - 1], len(rates), warmup=WARMUP)
    off = np.abs(found - rates)
    assert (off > 5e-5).sum() <= 25, "all but the half interval in which a jump lies"
    assert np.isclose(found.sum(), rates.sum(), rtol=4e-3)


def test_a_logged_jump_lies_half_way_and_a_steep_decay_is_none():
    jump = rates_of_every_update([100, 200, 300, 400], [1.0, 1.0, 0.2, 0.2], 400)
    assert set(jump.tolist()) == {1.0, 0.2} and (jump == 1.0).sum() == 250
    decay = rates_of_every_update([100, 200, 300, 400], [1.0, 0.7, 0.4, 0.1], 400)
    assert decay[149] == pytest.approx(0.85) and decay[249] == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (([1, 2], [0.1], 3), "got 2 steps and 1 rates"),
        (([2, 1], [0.1, 0.1], 3), "steps that rise"),
        (([5, 9], [0.1, 0.1], 9, 8), "the warm-up of 8 updates ends after the first logged rate"),
    ],
)
def test_rates_that_cannot_be_are_refused(given, sentence):
    with pytest.raises(ProblemError, match=sentence):
        rates_of_every_update(*given)


@pytest.mark.parametrize("name", SCHEDULES)
def test_blocks_of_a_clock_hold_all_of_intrinsic_time(name):
    rates = warmed(SCHEDULES[name])
    clock = Clock.of(rates, 2e-3, [1, 500, 12_000])
    assert clock.s == pytest.approx([rates[:n].sum() / 2e-3 / 1000 for n in (1, 500, 12_000)])
    assert (clock.mean_e * np.diff(clock.edges)).sum() == pytest.approx(rates.sum() / 2e-3)
    jumps = np.flatnonzero(np.abs(np.diff(rates)) > 1e-4) + 1
    assert set(jumps[jumps > WARMUP]) <= set(clock.edges.tolist()), "no block holds a jump"
