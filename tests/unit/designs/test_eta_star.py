"""The design of eta* on truths made of coins: what it finds, when it refuses, and that order and range do not matter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.coverage import TRUTHS, Coin, measure, replicate, wilson
from scipy.special import expit

from etastar import Criterion, Outcome, Precision, Runs, Status
from etastar.core import LaneStatus
from etastar.designs import EtaStar, SuccessBand


def band_of(outcome_at, *, seed: int = 0, around: float = 1e-2, **settings) -> tuple[SuccessBand, EtaStar]:
    """Run the design to its end; `outcome_at(log_lr, rng)` gives (status, end loss)."""
    rng = np.random.default_rng(seed)
    design = EtaStar(Criterion(), steps=50, around=around, seed=seed, **settings)
    while lanes := design.ask():
        outcomes = []
        for lane in lanes:
            status, loss = outcome_at(lane.log_lr, rng)
            outcomes.append(Outcome(lane, status, 10 if status is LaneStatus.TRAINED else None, 20, 1.0, loss))
        design.tell(Runs(outcomes))
    return design.answer(), design


def step_at(edge: float):
    """A sharp edge at log10(lr) = edge, and a lower one three decades below it."""

    def outcome(x, rng):
        if edge - 3 < x <= edge:
            return LaneStatus.TRAINED, 0.5
        return (LaneStatus.DIVERGED if x > edge else LaneStatus.SLOW), 1.0 + rng.random()

    return outcome


@pytest.mark.parametrize("edge", [-1.234, -1.0, 0.3, 0.87])
def test_a_sharp_edge_lies_inside_the_interval(edge):
    band, _ = band_of(step_at(edge))
    assert band.eta_star.low <= 10**edge <= band.eta_star.high
    assert (band.eta_star.high - band.eta_star.low) / 2 <= 0.1 * band.eta_star.value
    assert band.refine_runs <= 24 and band.scan_runs == 26
    assert band.eta_star_90.value < band.eta_star.value


@pytest.mark.parametrize("around", [1e-4, 0.03, 0.2, 5.0, 3e3])
def test_a_scan_centred_by_a_probe_is_shorter_and_finds_the_edge_even_where_the_probe_is_decades_off(around):
    band, _ = band_of(step_at(-0.7), around=around, reach=(1.5, 1.5))
    near = abs(math.log10(around) + 0.7) < 1.5
    assert band.eta_star.low <= 10**-0.7 <= band.eta_star.high
    assert band.scan_runs == 14 if near else 14 < band.scan_runs <= 42
    assert ("range-extended" in band.eta_star.flags) == (not near)
    low = min(r.lr for r in band.rates if r.runs)
    assert band.lower_edge is None or low < band.lower_edge


@pytest.mark.parametrize("around", [1e-5, 1e-2, 3e2])
def test_the_edge_is_found_from_a_start_decades_off_and_the_extension_is_flagged(around):
    band, _ = band_of(step_at(-0.7), around=around)
    assert band.eta_star.low <= 10**-0.7 <= band.eta_star.high
    assert ("range-extended" in band.eta_star.flags) == (around != 1e-2)


def test_the_lower_flank_is_not_mistaken_for_the_upper_one():
    def only_low(x, rng):
        return (LaneStatus.TRAINED, 0.1) if -4.2 < x < -3.1 else (LaneStatus.SLOW, 1.0 + rng.random())

    band, _ = band_of(only_low)
    assert band.eta_star.value == pytest.approx(10**-3.1, rel=0.15)
    assert band.lower_edge == pytest.approx(1e-4)


def test_an_edge_below_a_lucky_top_of_the_scan_is_found():
    """Two lanes of the scan train by luck above the edge, and no fresh seed does: the edge lies below them."""
    told = []

    def outcome(x, rng):
        told.append(x)
        lucky = len(told) <= 13 and -0.45 < x < 0.6
        if lucky or -0.95 < x <= -0.45:
            return LaneStatus.TRAINED, 0.5
        return (LaneStatus.DIVERGED if x > -0.45 else LaneStatus.SLOW), 1.0 + rng.random()

    band, _ = band_of(outcome, precision=Precision(scan_seeds=1))
    assert band.eta_star.low <= 10**-0.45 <= band.eta_star.high
    assert band.eta_star.high < 1.0


def test_a_narrow_band_between_two_scan_rates_is_found_by_looking_closer():
    def narrow(x, rng):
        status = LaneStatus.SLOW if x < -1.42 else LaneStatus.DIVERGED if x > -1.08 else LaneStatus.TRAINED
        return status, 1.0 + rng.random()

    band, _ = band_of(narrow)
    assert band.eta_star.value == pytest.approx(10**-1.08, rel=0.15)


REFUSALS = {
    "never": (lambda x, rng: (LaneStatus.SLOW, 1 + rng.random()), Status.NEVER_SUCCEEDS, "lower the threshold"),
    "slow, then diverged": (
        lambda x, rng: (LaneStatus.SLOW if x < -1 else LaneStatus.DIVERGED, 9 + x + 0.1 * rng.random()),
        Status.NEVER_SUCCEEDS,
        "closest is 1e-05, with 0 of 2",
    ),
    "diverged": (lambda x, rng: (LaneStatus.DIVERGED, math.inf), Status.DIVERGED_EVERYWHERE, "diverged or died"),
    "always": (lambda x, rng: (LaneStatus.TRAINED, rng.random()), Status.SUCCEEDS_EVERYWHERE, "no upper edge"),
    "flat": (lambda x, rng: (LaneStatus.SLOW, 1.0), Status.FLAT, "the same at every learning rate"),
    "flat and below the threshold": (lambda x, rng: (LaneStatus.TRAINED, 1.0), Status.FLAT, "the same at every"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_refuses_with_a_status_and_a_reason(name):
    outcome_at, status, words = REFUSALS[name]
    band, _ = band_of(outcome_at)
    for estimate in (band.eta_star, band.eta_star_90, band.width):
        assert estimate.value is None and estimate.status is status and words in estimate.reason
    assert band.eta_star.n > 0 and band.eta_star.cost == 20 * band.eta_star.n


def test_mostly_failing_seeds_at_every_rate_are_no_eta_star():
    """A scan can be lucky; fresh seeds then show that no rate trains half of them."""

    def lucky(x, rng):
        return (LaneStatus.TRAINED, 0.1) if -3 < x < -1 and rng.random() < 0.25 else (LaneStatus.SLOW, 1 + rng.random())

    statuses = [band_of(lucky, seed=s)[0].eta_star for s in range(12)]
    for e in statuses:
        assert e.status is Status.NEVER_SUCCEEDS or {"max-runs", "islands", "wide-transition"} & set(e.flags)
    assert sum(e.status is Status.NEVER_SUCCEEDS for e in statuses) >= 3


def test_a_fixed_range_whose_top_still_trains_is_edge_of_range_with_a_bound():
    band, _ = band_of(step_at(1.5), widen=False)
    assert band.eta_star.status is Status.EDGE_OF_RANGE
    assert band.eta_star.value is None and band.eta_star.low == pytest.approx(10.0)


def test_a_wide_transition_is_an_answer_with_a_wide_interval_and_a_flag():
    def wide(x, rng):
        good = rng.random() < expit(2 * np.log(9) * (-1 - x) / 1.2)
        return (LaneStatus.TRAINED if good else LaneStatus.SLOW), rng.random()

    band, _ = band_of(wide, seed=3)
    assert band.eta_star.ok and {"wide-transition", "max-runs"} <= set(band.eta_star.flags)
    assert band.refine_runs == 48
    assert (band.eta_star.high - band.eta_star.low) / 2 > 0.1 * band.eta_star.value


def test_islands_are_lapses_and_raise_a_flag():
    """Lanes that train again a decade above the edge do not move it."""

    def island(x, rng):
        trained = -4 < x <= -1.1 or -0.2 < x < 0.2
        return (LaneStatus.TRAINED if trained else LaneStatus.DIVERGED if x > -2 else LaneStatus.SLOW), 2.0 + rng.random()

    band, _ = band_of(island)
    assert band.eta_star.value == pytest.approx(10**-1.1, rel=0.15) and "islands" in band.eta_star.flags
    plain, _ = band_of(step_at(-1.1))
    assert "islands" not in plain.eta_star.flags


def test_stopping_early_answers_with_what_is_known():
    coin = Coin(TRUTHS["logistic"](-1.0, 0.3), np.random.default_rng(0))
    design = EtaStar(Criterion(), steps=100)
    assert design.answer().eta_star.status is Status.NOT_MEASURED
    design.tell(Runs(coin.outcome(lane) for lane in design.ask()))
    design.stop("time-limit")
    assert list(design.ask()) == []
    early = design.answer().eta_star
    assert early.ok and "time-limit" in early.flags and early.low <= 0.1 <= early.high


def test_the_order_of_lanes_within_a_batch_does_not_change_the_answer():
    def answer(shuffle: bool):
        design = EtaStar(Criterion(), steps=50)
        while lanes := design.ask():
            lanes = list(lanes)
            if shuffle:
                np.random.default_rng(1).shuffle(lanes)
            outcomes = []
            for lane in lanes:
                trained = np.random.default_rng(lane.seed % 2**32).random() < TRUTHS["islands"](-1.1, 0.2)(lane.log_lr)
                status = LaneStatus.TRAINED if trained else LaneStatus.DIVERGED if lane.log_lr > -2.5 else LaneStatus.SLOW
                outcomes.append(Outcome(lane, status, None, 10, 1.0, 0.5 + lane.log_lr))
            design.tell(Runs(outcomes))
        return design.answer().eta_star

    straight, shuffled = answer(False), answer(True)
    assert shuffled.value == pytest.approx(straight.value, rel=1e-3)
    assert (shuffled.low, shuffled.high) == pytest.approx((straight.low, straight.high), rel=1e-3)


def test_scan_lanes_are_paired_and_every_later_lane_has_a_fresh_seed():
    _, design = band_of(step_at(-1.0), precision=Precision(min_runs=24))
    lanes = [o.lane for o in design._outcomes]
    assert len({lane.seed for lane in lanes[:26]}) == 2
    assert len({lane.seed for lane in lanes[26:]}) == len(lanes) - 26 == 24
    other = EtaStar(Criterion(), steps=50, seed=1).ask()
    assert {lane.seed for lane in other}.isdisjoint({lane.seed for lane in lanes})


@pytest.mark.parametrize("kind", ["islands"])
def test_the_interval_usually_holds_the_truth(kind):
    """A quick look at the truth that is least like the fitted model; the slow test below is the claim, for all of them."""
    rows = [replicate(kind, 0.17, seed) for seed in range(12)]
    assert sum(r["covered"] for r in rows) >= 9  # P < 1 % for fewer at a true coverage of 90 %
    assert all(r["runs"] <= 48 for r in rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRUTHS)
def test_coverage_of_the_90_percent_interval(kind):
    """300 replicates of each truth: 85-95 % (the target), the Wilson interval printed beside it."""
    covered = sum(bool(replicate(kind, 0.3, seed)["covered"]) for seed in range(300))
    low, high = wilson(covered, 300)
    print(f"{kind}: {covered / 3:.1f} % [{100 * low:.1f}, {100 * high:.1f}]")
    assert 0.85 <= covered / 300 <= 0.95


def test_measure_is_deterministic():
    truth = TRUTHS["skewed"](-1.0, 0.2)
    assert measure(truth, 4) == measure(truth, 4)
