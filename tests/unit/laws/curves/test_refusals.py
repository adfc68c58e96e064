"""Where laws of loss curves say nothing, and what they say then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from etastar import Status
from etastar.laws.curves.conditions import turns_up
from etastar.laws.curves.constant_rate import ConstantRate
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.fading_noise import FadingNoise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.shapes import ranked
from etastar.laws.curves.tissue2024momentum import MomentumLaw
from loss_curves import SCHEDULES, STEPS, curve, fading, warmed

pytestmark = pytest.mark.usefixtures("few_refits")


def end(law, name="wsd", steps=STEPS, peak=1e-3, **fields):
    return law.predict(warmed(SCHEDULES[name], steps, peak), **fields).end


def refused(estimate, sentence, status=Status.OUTSIDE_THE_LAW):
    assert estimate.value is None and estimate.status is status and sentence in estimate.reason
    return True


def test_a_constant_curve_says_nothing_about_cooldowns_but_goes_on():
    law = FadingNoise.fit([curve("constant", fading)])
    found = law.predict(warmed(SCHEDULES["wsd"]), [6000, 9000, STEPS])
    assert found[0].ok and found[1].ok, "before the cooldown begins"
    assert refused(found[2], "measure one branch, a cooldown over a tenth of the steps from a checkpoint")
    assert end(law, "constant").ok
    branched = FadingNoise.fit([curve("constant", fading), curve("wsd", fading)])
    assert end(branched, "wsd").ok, "the branch answers"


def test_a_cosine_that_was_cut_early_says_nothing_about_its_end():
    whole = curve("cosine", fading)
    early = FadingNoise.fit([whole.until(STEPS // 3)])
    next_loss = early.predict(whole.rates, [STEPS // 3 + 100]).end
    for estimate in (end(early, "cosine"), next_loss):
        assert refused(estimate, "has fallen to 81% of its peak: too far for a constant one")
    with_constant = FadingNoise.fit([whole.until(STEPS // 3), curve("constant", fading)])
    assert refused(end(with_constant, "cosine"), "no curve was annealed")
    assert end(FadingNoise.fit([whole.until(3 * STEPS // 4)]), "cosine").ok


@pytest.mark.parametrize("law", [MomentumLaw, MultiPowerLaw])
def test_only_fading_noise_speaks_of_rising_rates_and_other_peaks(law):
    curves = [curve(n, fading) for n in ("constant", "wsd")]
    assert refused(end(law.fit(curves), "restart"), "the rate rises after the warm-up")
    assert refused(end(law.fit(curves), peak=2e-3), "errs by .15 - .25 nats across peaks")
    assert end(FadingNoise.fit(curves), "restart").ok


def test_another_peak_widens_the_interval_and_a_far_one_is_refused():
    law = FadingNoise.fit([curve(n, fading) for n in ("constant", "wsd")])
    same, twice = end(law), end(law, peak=2e-3, steps=STEPS // 2)
    assert (twice.high - twice.low) / twice.value > 3 * (same.high - same.low) / same.value
    assert refused(end(law, peak=5e-3, steps=STEPS // 4), "more than a factor of 2 apart; measure a run closer to it")


def test_points_in_the_warm_up_before_the_first_loss_and_far_beyond_the_last():
    law = FadingNoise.fit([curve(n, fading) for n in ("constant", "wsd")])
    found = law.predict(warmed(SCHEDULES["constant"], 5 * STEPS), [200, 450, 3 * STEPS, 5 * STEPS])
    assert refused(found[0], "inside the warm-up of 399 updates") and refused(found[1], "earlier than the first loss fitted")
    assert found[2].ok and refused(found[3], "and laws were held to 3.2 x; give a longer run")


def test_runs_that_memorise_are_refused():
    falling = lambda rates: np.interp(np.arange(len(rates)), [0, len(rates)], [2.0, 0.02])
    law = FadingNoise.fit([curve("wsd", falling, kind="training", uninformed=2.3)])
    assert refused(end(law), "interpolates its training data")
    many = FadingNoise.fit([curve("wsd", fading, passes=18.0)])
    assert refused(end(many), "18 passes over the data of 'wsd'")
    one = FadingNoise.fit([curve("wsd", fading, passes=1.5)])
    assert end(one).ok and refused(end(one, "wsd", 2 * STEPS), "3 passes over the data")
    high = FadingNoise.fit([curve("wsd", fading, passes=18.0, kind="training", uninformed=4.0)])
    assert end(high).ok, "a training loss of two thirds of the uninformed one is not memorised"


def test_a_validation_loss_that_turns_up_is_refused_until_that_step():
    turning = lambda rates: fading(rates) + 0.8 * (np.arange(len(rates)) / len(rates) - 0.6).clip(0)
    overfits = curve("constant", turning, noise=5e-4)
    assert refused(end(FadingNoise.fit([overfits]), "constant"), "it overfits, which no law here describes")
    assert end(FadingNoise.fit([overfits.until(7000)]), "constant").ok


def test_noise_is_no_turn():
    noisy = [curve("constant", fading, every=240, noise=0.03, seed=seed).fitted for seed in range(40)]
    ups = [c.losses[-1] > 1.02 * c.losses.min() for c in noisy]
    assert sum(ups) > 30, "most end above their lowest"
    assert sum(turns_up(c) is not None for c in noisy) <= 1


def test_only_the_losses_that_are_forecast_may_turn_up():
    plain = curve("constant", fading)
    at = np.arange(len(plain.steps))
    beside = at % 12 != 11
    rising = replace(plain, losses=plain.losses * np.where(beside & (at > 90), 1.3, 1.0))
    assert turns_up(rising) is not None and turns_up(replace(rising, shifted=beside)) is None


def test_a_few_losses_are_too_few():
    few = Curve([2000, 6000, 12_000], [3.0, 2.8, 2.7], warmed(SCHEDULES["constant"]))
    assert refused(end(FadingNoise.fit([few]), "constant"), "3 losses after the warm-up are too few", Status.TOO_FEW_POINTS)


def test_one_run_needs_two_halves():
    rates = warmed(SCHEDULES["constant"])
    at = np.arange(1000, 12_001, 1000)
    one = Curve(at, fading(rates)[at - 1], rates)
    assert refused(end(FadingNoise.fit([one]), "constant"), "12 losses of one run are too few", Status.TOO_FEW_POINTS)
    assert end(FadingNoise.fit([one, curve("wsd", fading)]), "constant").ok
    half = curve("constant", fading, every=750).fitted
    assert len(half.steps) == 16 and end(ConstantRate.fit([half]), "constant").ok


def test_shapes_are_ranked_at_the_measured_peak_and_peaks_are_never_chosen():
    curves = [curve(n, fading) for n in ("constant", "cosine", "two stages")]
    candidates = {name: warmed(SCHEDULES[name]) for name in ("constant", "linear", "wsd", "sqrt", "restart")}
    found = ranked(curves, candidates | {"twice": warmed(SCHEDULES["linear"], peak=2e-3)})
    true = {name: fading(rates)[-1] for name, rates in candidates.items()}
    assert true[found[0].name] < min(true.values()) + 0.005 and found[-2].name == "constant"
    assert found[-1].name == "twice" and refused(found[-1].loss, "choose shapes at the measured peak, never the peak")
    assert [s.score for s in found] == sorted(s.score for s in found)
