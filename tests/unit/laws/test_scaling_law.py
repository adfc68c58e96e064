"""The scaling law: it finds the true form, covers the truth whichever form that has, and refuses where laws break."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.coverage import wilson

from etastar import Law, ProblemError, Status
from etastar.laws import ScalingLaw
from etastar.laws.scaling.candidates import candidates
from etastar.laws.scaling.fitted import fit_form
from etastar.laws.scaling.next_member import suggestions
from etastar.laws.scaling.scaling_law import DRIFT

FOUR = [{"depth": d, "width": w} for d in (4, 8) for w in (128, 256)]
SIX = [{"depth": d, "width": w} for d, w in ((4, 64), (4, 128), (4, 256), (6, 96), (8, 128), (8, 256))]
TRUTHS = {
    "constant": lambda d, w: 0.0,
    "product": lambda d, w: -0.8 * math.log10(d * w),
    "separate": lambda d, w: -1.1 * math.log10(d) - 0.25 * math.log10(w),
    "unfitted": lambda d, w: -1.5 * math.log10(d) - 0.5 * math.log10(w),
    "depth alone": lambda d, w: -0.7 * math.log10(d),
    "none of them": lambda d, w: -math.log10(d) - 0.3 * math.log10(w) - 0.3 * math.log10(w / 64) ** 2,
}


def values(truth, sizes, sd=0.0, rng=None):
    return [10 ** (TRUTHS[truth](**_short(m)) + (rng.normal(0, sd) if sd else 0.0)) for m in sizes]


def _short(member):
    return {"d": member["depth"], "w": member["width"]}


@pytest.mark.parametrize("truth", [t for t in TRUTHS if t != "none of them"])
def test_exact_members_give_the_form_and_the_target(truth):
    law = ScalingLaw.fit(SIX, values(truth, SIX))
    assert law.chosen.candidate.name == truth and isinstance(law, Law)
    for target in ({"depth": 8, "width": 512}, {"depth": 16, "width": 256}):
        answer = law.predict(target)
        assert answer.require() == pytest.approx(10 ** TRUTHS[truth](**_short(target)), rel=1e-6)
        beyond = {name: max(math.log10(target[name] / largest), 0) for name, largest in (("depth", 8), ("width", 256))}
        drift = math.hypot(*(DRIFT[name] * beyond[name] for name in beyond))  # all that is left of the interval
        assert math.log10(answer.high / answer.low) == pytest.approx(2 * 1.644854 * drift, rel=1e-3)
    inside = law.predict({"depth": 6, "width": 200})
    assert inside.high / inside.low < 1.001


def test_forms_that_fit_as_well_give_way_to_the_one_with_fewer_numbers():
    rng = np.random.default_rng(0)
    law = ScalingLaw.fit(SIX, values("constant", SIX, 0.02, rng), errors=[0.05] * 6)
    assert law.chosen.candidate.name == "constant" and sum(f.tied for f in law.fits) > 1


def two_limits(optimizer, at, constant=0.12):
    """A truth with a second limit: depth x width for SGD, depth^3 x width for Adam."""
    power = {"sgd": 1, "adam": 3}[optimizer]
    return lambda m: constant / (1 + m["depth"] ** power * m["width"] / at)


@pytest.mark.parametrize(("optimizer", "at"), [("sgd", 700.0), ("adam", 3e4)])
def test_a_second_limit_is_found_from_three_members_on(optimizer, at):
    truth = two_limits(optimizer, at)
    for sizes in ([*SIX[:2], {"depth": 8, "width": 128}], FOUR, SIX):
        law = ScalingLaw.fit(sizes, [truth(m) for m in sizes], optimizer=optimizer)
        assert law.chosen.candidate.name == "two limits" and law.chosen.loo < 1e-6
        assert law.chosen.turn == pytest.approx(at, rel=1e-4) and law.chosen.law.constant == pytest.approx(0.12, rel=1e-4)
        target = {"depth": 8, "width": 512}
        assert law.predict(target).require() == pytest.approx(truth(target), rel=1e-4)
    assert law.chosen.formula == f"0.12 / (1 + depth{'^3' if optimizer == 'adam' else ''} x width / {at:.3g})"


def test_a_second_limit_is_one_number_more_beside_other_sizes():
    """With a horizon: C steps^e / (1 + X / K); each member left out is predicted by the others alone."""
    sizes = [{**m, "steps": steps} for m in SIX for steps in (100, 400)]
    rng, truth = np.random.default_rng(0), two_limits("adam", 3e4)
    values = np.array([truth(m) * (m["steps"] / 100) ** -0.4 * 10 ** rng.normal(0, 0.03) for m in sizes])
    (form,) = [c for c in candidates(list(sizes[0]), optimizer="adam") if c.name == "two limits, steps"]
    assert form.fitted == 3
    fit = fit_form(form, sizes, values, np.zeros(12), 0.9)
    assert fit.law.exponents["steps"] == pytest.approx(-0.4, abs=0.1) and fit.turn == pytest.approx(3e4, rel=0.5)
    errors = []
    for i in range(12):
        others = [j for j in range(12) if j != i]
        without = fit_form(form, [sizes[j] for j in others], values[others], np.zeros(11), 0.9)
        errors.append(math.log10(values[i] / without.value(sizes[i])))
    assert fit.loo == pytest.approx(math.sqrt(np.mean(np.square(errors))), rel=1e-4)
    residuals = np.log10(values) - np.log10([fit.value(m) for m in sizes])
    assert fit.scatter == pytest.approx(math.sqrt(residuals @ residuals / 9), rel=1e-9)
    assert fit.gradients(sizes).T @ residuals == pytest.approx(np.zeros(3), abs=1e-5), "least squares"


def test_a_second_limit_far_from_all_members_is_one_of_the_plain_forms():
    for at, optimizer in ((1e9, "adam"), (1e-3, "adam"), (1e-3, "sgd")):
        truth = two_limits(optimizer, at, constant=1.0 / min(at, 1.0))
        law = ScalingLaw.fit(SIX, [truth(m) for m in SIX], optimizer=optimizer)
        target = {"depth": 8, "width": 512}
        assert law.predict(target).require() == pytest.approx(truth(target), rel=0.02)
    assert "two limits" not in [c.name for c in candidates(["depth", "width"], path_sum=lambda m: 1.0)]
    assert "two limits" not in [c.name for c in candidates(["depth", "width"], optimizer="other")]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_intervals_hold_a_truth_with_two_limits(optimizer):
    rng, held, n, targets = np.random.default_rng(2), 0, 0, [{"depth": 8, "width": 512}, {"depth": 16, "width": 256}]
    for turn in (0.1, 0.5, 2.0, 10.0):
        truth = two_limits(optimizer, turn * {"sgd": 1024, "adam": 64 * 1024}[optimizer])
        for _ in range(12):
            noisy = lambda m, truth=truth: truth(m) * 10 ** rng.normal(0, 0.06)
            law = ScalingLaw.fit(SIX, [noisy(m) for m in SIX], errors=[0.03] * 6, optimizer=optimizer)
            for target in targets:
                answer, value = law.predict(target), noisy(target)
                held, n = held + (answer.low <= value <= answer.high), n + 1
    assert wilson(held, n, level=0.95)[1] >= 0.9 and held / n > 0.85


@pytest.mark.parametrize("sizes", [FOUR, SIX], ids=["four", "six"])
def test_intervals_hold_the_truth_whatever_its_form(sizes):
    """Also where it has no form of ours; the scatter is larger than the errors told."""
    rng, held, n, targets = np.random.default_rng(1), 0, 0, [{"depth": 8, "width": 512}, {"depth": 16, "width": 256}]
    for truth in TRUTHS:
        for _ in range(8):
            law = ScalingLaw.fit(sizes, values(truth, sizes, 0.06, rng), errors=[0.03] * len(sizes))
            for target, value in zip(targets, values(truth, targets, 0.06, rng), strict=True):
                answer = law.predict(target)
                held, n = held + (answer.low <= value <= answer.high), n + 1
    assert wilson(held, n, level=0.95)[1] >= 0.9 and held / n > 0.85


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ({"depth": 16, "width": 128}, "width 128 is less than 16 x depth 16"),
        ({"depth": 3, "width": 256}, "fewer than 4 hidden layers"),
        ({"depth": 16, "width": 1024}, r"depth x width = 16384 is 8 x beyond the largest measured \(2048\)"),
        ({"depth": 4, "width": 2048}, "width = 2048 is 8 x beyond the largest measured"),
    ],
)
def test_targets_outside_the_conditions_are_refused_with_the_reason(target, sentence):
    refusal = ScalingLaw.fit(SIX, values("product", SIX)).predict(target)
    assert refusal.value is None and refusal.status is Status.OUTSIDE_THE_LAW
    with pytest.raises(Exception, match=sentence):
        refusal.require()


def test_members_outside_the_conditions_are_left_out_and_too_few_refuse():
    odd = [{"depth": 2, "width": 128}, {"depth": 16, "width": 64}]
    law = ScalingLaw.fit([*SIX, *odd], [*values("product", SIX), 5.0, 1e-3])
    assert [m for m, _ in law.left_out] == odd and law.chosen.candidate.name == "product"
    few = ScalingLaw.fit([*FOUR[:2], *odd], [1.0, 0.5, 5.0, 1e-3]).predict({"depth": 8, "width": 256})
    assert (
        few.status is Status.TOO_FEW_POINTS and "at least 3 sizes and has 2" in few.reason and "were left out" in few.reason
    )
    assert ScalingLaw.fit([], []).predict({"depth": 8}).status is Status.TOO_FEW_POINTS


def test_a_fixed_depth_of_two_is_no_claim_about_depth_and_other_families_know_no_narrow_chains():
    shallow = [{"depth": 2, "width": w} for w in (64, 128, 256)]
    law = ScalingLaw.fit(shallow, [4.0, 3.0, 2.25])
    assert law.predict({"depth": 2, "width": 512}).ok
    assert "depth is 2 for every member measured and 4 for the target" in law.predict({"depth": 4, "width": 512}).reason
    blocks = [{"depth": d, "width": 32} for d in (2, 4, 8)]
    assert ScalingLaw.fit(blocks, [4.0, 2.0, 1.0], chain=False).predict(
        {"depth": 16, "width": 32}
    ).require() == pytest.approx(0.5)


def test_squared_loss_has_another_width_and_the_horizon_and_the_batch_enter():
    wide = [{"width": w} for w in (64, 128, 256, 512)]
    law = ScalingLaw.fit(wide, [1 / m["width"] for m in wide], loss="squared")
    assert law.chosen.candidate.name == "unfitted" and law.chosen.law.exponents["width"] == -1.0
    times = [{"width": w, "steps": t} for w in (64, 256) for t in (100, 400)]
    law = ScalingLaw.fit(times, [m["width"] ** -0.5 * m["steps"] ** -0.5 for m in times])
    assert law.chosen.candidate.name == "unfitted, steps^-1/2"
    batches = [{"batch_size": b} for b in (16, 32, 64, 128)]
    law = ScalingLaw.fit(batches, [1 / (1 + 50 / m["batch_size"]) for m in batches], noise_scale=50.0)
    assert law.chosen.candidate.name == "noise scale"
    assert law.predict({"batch_size": 256}).require() == pytest.approx(1 / (1 + 50 / 256), rel=1e-6)


def test_branched_networks_bring_their_path_sum():
    sums = {1: 8.0, 2: 64.0, 3: 216.0, 4: 512.0}
    members = [{"depth": d} for d in (1, 2, 3)]
    law = ScalingLaw.fit(members, [sums[d] ** -0.5 for d in (1, 2, 3)], path_sum=lambda m: sums[m["depth"]], chain=False)
    assert law.predict({"depth": 4}).require() == pytest.approx(512**-0.5, rel=1e-6)
    assert "path sum" in [c.name for c in candidates(["depth"], path_sum=lambda m: 1.0)]


def test_the_next_member_narrows_the_interval_within_the_budget():
    rng, target = np.random.default_rng(3), {"depth": 8, "width": 512}
    law = ScalingLaw.fit(FOUR, values("product", FOUR, 0.05, rng))
    cost = lambda m: m["depth"] * m["width"] ** 2
    found, now = suggestions(law, target, cost, 1e6), law.predict(target)
    assert found and all(s.cost <= 1e6 and s.factor < now.high / now.low for s in found)
    assert suggestions(law, target, cost, 10.0) == []
    far = {"depth": 8, "width": 2048}  # 8 x beyond: only a member in between brings it within reach
    assert law.predict(far).value is None
    assert all(law.why_not(far, [s.sizes]) is None for s in suggestions(law, far, cost, 1e8)) and suggestions(
        law, far, cost, 1e8
    )


def test_lists_that_do_not_match_are_one_sentence():
    with pytest.raises(ProblemError, match="got 2 sizes, 1 values and 2 errors"):
        ScalingLaw.fit(FOUR[:2], [1.0])
    with pytest.raises(ProblemError, match="the members have other sizes than depth, width"):
        ScalingLaw.fit([*FOUR, {"depth": 4}], [1.0] * 5)
    with pytest.raises(ProblemError, match="the target has no width"):
        ScalingLaw.fit(FOUR, [1.0] * 4).predict({"depth": 4})
