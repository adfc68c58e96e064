"""Laws of loss curves against plain loops over every update, their own truths, and each other's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.coverage import wilson
from scipy.optimize import nnls

from catalog import CURVE_LAWS
from etastar import Estimate, Law
from etastar.laws.curves.blind_power import BlindPower
from etastar.laws.curves.clock import Clock
from etastar.laws.curves.constant_rate import ConstantRate
from etastar.laws.curves.curve import Curve
from etastar.laws.curves.fading_noise import AGING, FORGETTING, NOISE_POWER, SPEED, FadingNoise, noise
from etastar.laws.curves.luo2025multipower import MultiPowerLaw
from etastar.laws.curves.schaipp2025convex import ConvexBound, bound
from etastar.laws.curves.separable import positive_fit
from etastar.laws.curves.tissue2024momentum import MomentumLaw
from loss_curves import FADING, SCHEDULES, STEPS, WARMUP, curve, fading, multipower, warmed

THREE = ("constant", "cosine", "two stages")
AT = np.array([500, 2000, 5000, 7000, 9000, 12_000])


def three(truth, **fields):
    return [curve(name, truth, seed=i, **fields) for i, name in enumerate(THREE)]


# -- columns against loops over every update ----------------------------------------------------------------------------


def noise_by_loop(rates, reference, t, C, kappa, p, d):
    """sum_k e_k^p (s_k / 7)^d [F(s_t - s_k) - F(s_t - s_{k-1})], one update after the other."""
    e = rates / reference
    s = np.concatenate([[0.0], np.cumsum(e)]) / 1000
    total = 0.0
    for k in range(1, t + 1):
        left = (1 + C * (s[t] - s[k])) ** (1 - kappa) - (1 + C * (s[t] - s[k - 1])) ** (1 - kappa)
        total += e[k - 1] ** p * ((s[k] + s[k - 1]) / 2 / 7) ** d * left
    return total


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_over_blocks_is_the_sum_over_updates(name):
    rates = warmed(SCHEDULES[name])
    found = noise(FADING, Clock.of(rates, 1e-3, AT))
    by_hand = [noise_by_loop(rates, 1e-3, t, **{k: x for k, x in FADING.items() if k != "alpha"}) for t in AT]
    assert found == pytest.approx(by_hand, rel=2e-3, abs=0.012), "100 blocks of 120 updates"
    rates = rates[::60]  # one update a block: exact
    exact = noise(FADING, Clock.of(rates, 1e-3, [5, 100, 200], blocks=200))
    by_hand = [noise_by_loop(rates, 1e-3, t, **{k: x for k, x in FADING.items() if k != "alpha"}) for t in (5, 100, 200)]
    assert exact == pytest.approx(by_hand, rel=1e-9)


def test_noise_of_a_constant_rate_tends_to_b_and_does_not_fade_without_a_rate():
    steady = {"C": 50.0, "kappa": 3.0, "p": 0.7, "d": 0.0}
    rates = np.ones(20_000)
    assert noise(steady, Clock.of(rates, 1.0, [20_000]))[0] == pytest.approx(1 - (1 + 50.0 * 20) ** -2.0, rel=1e-9)
    rates[10_000:] = 0.0
    before, after = noise(steady, Clock.of(rates, 1.0, [10_000, 20_000]))
    assert after == before


@pytest.mark.parametrize("name", ["cosine", "wsd", "two stages"])
def test_gains_of_annealing_are_sums_over_updates(name):
    rates = warmed(SCHEDULES[name])
    e, clock = rates / 1e-3, Clock.of(rates, 1e-3, AT)
    falls = np.concatenate([[0.0], e[:-1] - e[1:]])
    falls[:WARMUP] = 0.0
    s = np.concatenate([[0.0], np.cumsum(e)]) / 1000
    momentum, state, annealed = [], 0.0, 0.0
    for fall in falls:
        state = 0.995 * state + fall
        annealed += state / 1000
        momentum.append(annealed)
    found = MomentumLaw.columns({"alpha": 0.5, "memory": 200.0}, clock)
    assert -found[:, 2] == pytest.approx([momentum[t - 1] for t in AT], rel=1e-9)

    def gain(t, C=5.0, beta=0.5, gamma=0.6):
        k = np.arange(t)
        x = np.maximum(e[:t], 1e-4) ** -gamma * (s[t] - s[k])  # from this update on
        return float(np.sum(falls[:t] * (1 - (1 + C * x) ** -beta)))

    found = MultiPowerLaw.columns({"alpha": 0.5, "C": 5.0, "beta": 0.5, "gamma": 0.6}, clock)
    assert -found[:, 2] == pytest.approx([gain(t) for t in AT], rel=0.03, abs=2e-3)


def bound_by_loops(e, g):
    """Theorem 10 of Defazio et al. 2023, as printed; g is the gradient's norm at each update."""
    steps = len(e)
    t1 = 1 / (2 * sum(e))
    t2 = sum(e**2 * g**2) / (2 * sum(e))
    t3 = 0.5 * sum(
        e[k] / sum(e[k + 1 :]) * sum(e[k:] ** 2 * g[k:] ** 2) / sum(e[k:])
        for k in range(steps - 1)
    )  # fmt: skip
    return t1, t2 + t3


def test_the_convex_bound_is_the_printed_one():
    e = np.linspace(1.0, 0.02, 60)
    g = np.arange(1, 61) ** -0.25
    assert bound(e, e**2 * g**2) == pytest.approx(bound_by_loops(e, g))
    columns = ConvexBound.columns({"g": 0.25}, Clock.of(np.concatenate([e, np.zeros(5)]), 1.0, [40, 60, 65]))
    assert columns[0, 1:] == pytest.approx(bound_by_loops(e[:40], g[:40]))
    assert columns[1].tolist() == columns[2].tolist(), "updates at rate 0 move nothing"


# -- fits ---------------------------------------------------------------------------------------------------------------


def test_fading_noise_finds_its_own_numbers_and_unseen_schedules():
    law = FadingNoise.fit(three(fading), starts=4)
    assert law.coefficients == pytest.approx([2.6, 0.9, 0.3], rel=0.02)
    assert {k: law.exponents[k] for k in ("alpha", "p")} == pytest.approx({"alpha": 0.5, "p": 0.65}, rel=0.03)
    assert max(law.found.costs) < 1.01 * min(law.found.costs) + 1e-9, "one optimum from every start"
    for name in ("wsd", "linear", "sqrt", "restart"):
        unseen = curve(name, fading)
        found = law.predict(unseen.rates, unseen.steps[8:])
        assert found.column("value") == pytest.approx(unseen.losses[8:], rel=2e-3)
        inside = (found.column("low") <= unseen.losses[8:]) & (unseen.losses[8:] <= found.column("high"))
        assert inside.all()


@pytest.mark.parametrize("law", [FadingNoise, MultiPowerLaw, MomentumLaw])
def test_laws_that_see_the_rate_beat_the_one_that_does_not_on_truths_that_are_not_theirs(law):
    truth = fading if law is not FadingNoise else multipower
    curves = three(truth, noise=5e-4)
    seeing, blind = law.fit(curves), BlindPower.fit(curves)
    for name in ("wsd", "linear"):
        unseen = curve(name, truth)
        at, losses = unseen.steps[-10:], unseen.losses[-10:]
        off = [np.abs(each.values(unseen.rates, at) - losses).mean() for each in (seeing, blind)]
        assert off[0] < 0.9 * off[1]


def test_what_a_few_curves_cannot_tell_is_given():
    free = lambda *names: {p.name for p in FadingNoise.fit([curve(n, fading) for n in names]).free}
    assert free("constant", "cosine", "two stages") == {"alpha", "C", "kappa", "p"}
    assert free("constant", "cosine", "linear") == {"alpha", "kappa", "p"}, "no abrupt fall"
    assert free("constant", "wsd") == {"alpha", "C"}
    assert free("wsd") == free("cosine", "linear") == {"alpha"}
    alone = FadingNoise.fit([curve("cosine", fading)])
    given = {"C": SPEED, "kappa": FORGETTING, "p": NOISE_POWER, "d": AGING}
    assert {k: alone.exponents[k] for k in given} == given
    assert FadingNoise.fit(three(fading), given={"p": 0.5}).exponents["p"] == 0.5


def test_a_few_wild_losses_hardly_move_the_fit():
    curves = three(fading, noise=5e-4)
    losses = curves[1].losses.copy()
    losses[[30, 60, 90]] *= 1.2
    spiky = [curves[0], Curve(curves[1].steps, losses, curves[1].rates), curves[2]]
    rates = warmed(SCHEDULES["wsd"])
    clean, found = (FadingNoise.fit(c).values(rates, [STEPS])[0] for c in (curves, spiky))
    assert found == pytest.approx(clean, rel=1e-3)
    assert FadingNoise.fit(spiky).rms == pytest.approx(FadingNoise.fit(curves).rms, rel=0.2)


def test_losses_of_no_weight_do_not_count():
    at = np.arange(100, 10_001, 100)
    losses = 2.5 + (at / 1000) ** -0.4
    light = np.arange(100) % 3 == 0
    whole = Curve(at, np.where(light, 1.1 * losses, losses), np.ones(10_000), weights=np.where(light, 1e-9, 1.0))
    assert BlindPower.fit([whole]).coefficients == pytest.approx([2.5, 1.0], rel=1e-3)


@pytest.mark.parametrize("offset", [0.07, -0.07])
def test_shifted_losses_have_one_offset_and_leave_the_law_as_it_is(offset):
    plain = three(fading)
    other = np.arange(len(plain[0].losses)) % 2 == 0
    shifted = [replace(c, losses=c.losses + offset * other, shifted=other) for c in plain]
    law, alone = FadingNoise.fit(shifted), FadingNoise.fit(plain)
    assert law.coefficients == pytest.approx([*alone.coefficients, offset], rel=1e-3)
    rates = warmed(SCHEDULES["linear"])
    assert law.values(rates, AT) == pytest.approx(alone.values(rates, AT), rel=1e-5)


def test_positive_fit_is_that_of_active_sets():
    rng = np.random.default_rng(0)
    agree = 0
    for _ in range(40):
        rows = np.abs(rng.standard_normal((30, 3))) + np.array([1.0, 0.0, 0.0])
        wanted = rows @ np.array([1.0, rng.normal(), rng.normal()]) + 0.01 * rng.standard_normal(30)
        agree += np.allclose(positive_fit(rows, wanted), nnls(rows, wanted)[0], atol=1e-8)
    assert agree == 40


@pytest.mark.usefixtures("few_refits")
@pytest.mark.parametrize("name", CURVE_LAWS)
def test_units_of_losses_and_rates_change_nothing(name):
    law, names = CURVE_LAWS[name], ("constant",) if name == ConstantRate.name else THREE
    curves = [curve(n, fading, noise=5e-4) for n in names]
    scaled = [Curve(c.steps, 7 * c.losses, 1000 * c.rates) for c in curves]
    rates = warmed(SCHEDULES[names[0]])
    one, other = (each.predict(r, AT[1:]) for each, r in ((law.fit(curves), rates), (law.fit(scaled), 1000 * rates)))
    for column in ("value", "low", "high"):
        assert 7 * one.column(column) == pytest.approx(other.column(column), rel=1e-3)


@pytest.mark.usefixtures("few_refits")
@pytest.mark.parametrize("name", CURVE_LAWS)
def test_every_law_answers_estimates_and_refuses_without_curves(name):
    law = CURVE_LAWS[name]
    found = law.fit([curve("constant", fading, noise=5e-4)]).predict(warmed(SCHEDULES["constant"]), [10, 6000, STEPS])
    assert isinstance(law.fit([]), Law) and len(found) == 3 and all(isinstance(e, Estimate) for e in found)
    assert found[0].value is None and "inside the warm-up" in found[0].reason
    assert found.end.low < found.end.value < found.end.high and found.end.unit == "loss"
    refusal = law.fit([]).predict(np.ones(10), [10]).end
    assert refusal.status.value == "too-few-points" and "there is no curve to fit" in refusal.reason


# -- intervals ----------------------------------------------------------------------------------------------------------


def covered(law, truth, name, seed, noise=8e-4):
    """Whether each loss of an unseen run lies in its interval."""
    unseen = curve(name, truth, noise=noise, seed=1000 + seed)
    found = law.predict(unseen.rates, unseen.steps)
    known = ~np.isnan(found.column("low"))
    inside = (found.column("low") <= unseen.losses) & (unseen.losses <= found.column("high"))
    return inside[known]


def aged(rates):
    """Fading noise whose aging and clock are not those that are given."""
    return fading(rates, FADING | {"d": -0.05, "p": 0.9, "kappa": 1.6})


TWO = ("constant", "wsd")


@pytest.mark.parametrize(
    ("names", "truth"),
    [
        pytest.param(THREE, multipower, id="three curves, multi-power"),
        pytest.param(TWO, aged, id="two, aged otherwise"),
        pytest.param(THREE, aged, id="three curves, aged otherwise", marks=pytest.mark.slow),
        pytest.param(TWO, multipower, id="two, multi-power", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("seeds", [(0,), pytest.param((1, 2), marks=pytest.mark.slow)], ids=["one seed", "others"])
def test_intervals_hold_unseen_schedules_of_truths_that_are_not_the_law(truth, names, seeds):
    held = []
    for seed in seeds:
        curves = [curve(n, truth, noise=8e-4, seed=10 * seed + i) for i, n in enumerate(names)]
        law = FadingNoise.fit(curves)
        held += [covered(law, truth, name, seed).mean() for name in ("linear", "sqrt", "cosine")]
    assert np.mean(held) > 0.85 and min(held) > 0.5


def test_intervals_are_no_wider_than_they_must_be():
    """Where the law is true and repeats to 1e-3, half a width is little more than the discrepancy."""
    law = FadingNoise.fit(three(fading, noise=5e-4))
    end = law.predict(warmed(SCHEDULES["wsd"])).end
    assert 1.64 * 0.0016 < (end.high - end.low) / 2 / end.value < 2 * 1.64 * 0.0016


def test_what_the_law_lacks_is_shares_of_loss_residuals_and_noise():
    law = FadingNoise.fit(three(fading, noise=5e-4))
    clock = Clock.of(warmed(SCHEDULES["wsd"]), law.reference, AT)
    values = law.values(warmed(SCHEDULES["wsd"]), AT)
    by_hand = [(0.0008**2 + law.rms**2 + (0.0115 * law.coefficients[2] / v) ** 2) ** 0.5 for v in values]
    assert law.lacks(clock) == pytest.approx(by_hand)
    refits = np.array([type(law).columns(f.exponents, clock) @ f.coefficients for f in law.refits])
    assert law.spread(clock) ** 2 == pytest.approx(((refits - values) ** 2).mean(0) + (values * by_hand) ** 2)


def test_refits_are_the_same_every_time():
    one, other = (
        FadingNoise.fit(three(fading, noise=5e-4)[:2]).predict(warmed(SCHEDULES["constant"])).end for _ in range(2)
    )
    assert one == other


def test_a_constant_run_goes_on_by_the_law_that_back_tests():
    for truth, weight in (
        (fading, (0.8, 1.0)),
        (lambda rates: 2.5 + (np.arange(1, len(rates) + 1) / 1000) ** -0.4, (0, 0.3)),
    ):
        whole = curve("constant", truth)
        law = ConstantRate.fit([whole.until(6000)])
        assert weight[0] <= law.weight <= weight[1]
        end = law.predict(whole.rates, [STEPS]).end
        assert end.low < whole.losses[-1] < end.high and end.value == pytest.approx(whole.losses[-1], rel=3e-3)


@pytest.mark.slow
def test_coverage_of_ninety_percent_intervals():
    """Whole curves, pooled over truths, schedules and seeds: the share held is 85 - 99 %."""
    held, n = 0, 0
    for truth in (fading, multipower, aged):
        for seed in range(8):
            law = FadingNoise.fit([curve(x, truth, noise=1e-3, seed=100 * seed + i) for i, x in enumerate(THREE)])
            for name in ("linear", "sqrt", "wsd"):
                ends = covered(law, truth, name, seed, noise=1e-3)[-1:]
                held, n = held + int(ends.sum()), n + len(ends)
    assert wilson(held, n, level=0.95)[1] >= 0.9 and held / n > 0.85
