"""A power law: exact data give it back, its intervals hold the truth as often as they say, and it refuses outside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.coverage import wilson

from etastar import Law, ProblemError, Status
from etastar.laws import PowerLaw
from etastar.laws.scaling.conditions import Within

DEPTH = np.array([4, 4, 4, 8, 8, 8, 16, 16])
WIDTH = np.array([64, 128, 256, 128, 256, 512, 256, 512])
COLUMNS = {"depth": DEPTH, "width": WIDTH}


def truth(depth, width):
    return 20.0 * depth**-1.5 * width**-0.5


def test_exact_data_give_the_exponents_the_constant_and_no_scatter():
    law = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH))
    assert law.exponents == pytest.approx({"depth": -1.5, "width": -0.5}, abs=1e-10)
    assert law.constant == pytest.approx(20.0, rel=1e-9) and law.r_squared == pytest.approx(1.0)
    assert law.loo < 1e-10 and law.scatter < 1e-10 and isinstance(law, Law)
    assert law.predict({"depth": 16, "width": 1024}).require() == pytest.approx(truth(16, 1024), rel=1e-9)


def test_given_exponents_are_kept_and_only_the_constant_is_fitted():
    law = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), given={"depth": -1.5, "width": -0.5})
    assert law.exponents == {"depth": -1.5, "width": -0.5} and law.fitted == []
    assert law.constant == pytest.approx(20.0, rel=1e-12) and law.r_squared == pytest.approx(1.0)
    half = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), given={"width": -0.5})
    assert half.exponents["depth"] == pytest.approx(-1.5, abs=1e-10) and half.fitted == ["depth"]
    wrong = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), given={"depth": 0.0, "width": 0.0})
    assert wrong.r_squared == pytest.approx(0.0, abs=1e-9)  # a constant explains nothing


def test_leave_one_out_is_what_refitting_without_each_member_gives():
    values = truth(DEPTH, WIDTH) * 10 ** np.random.default_rng(0).normal(0, 0.1, 8)
    law = PowerLaw.fit(COLUMNS, values)
    errors = []
    for i in range(8):
        kept = np.arange(8) != i
        without = PowerLaw.fit({k: v[kept] for k, v in COLUMNS.items()}, values[kept])
        errors.append(math.log10(values[i] / without.value({"depth": DEPTH[i], "width": WIDTH[i]})))
    assert law.loo == pytest.approx(math.sqrt(np.mean(np.square(errors))), rel=1e-9)


@pytest.mark.parametrize("given", [{}, {"width": -0.5}, {"depth": -1.5, "width": -0.5}])
def test_nine_in_ten_intervals_hold_a_new_member_and_the_true_exponent(given):
    rng, held, exponents, n = np.random.default_rng(1), 0, 0, 400
    for _ in range(n):
        values = truth(DEPTH, WIDTH) * 10 ** rng.normal(0, 0.08, 8)
        law = PowerLaw.fit(COLUMNS, values, given=given)
        answer = law.predict({"depth": 16, "width": 1024})
        held += answer.low <= truth(16, 1024) * 10 ** rng.normal(0, 0.08) <= answer.high
        if "depth" in law.fitted:
            slope = law.exponent("depth")
            exponents += slope.low <= -1.5 <= slope.high
    low, high = wilson(held, n, level=0.99)
    assert low <= 0.9 <= high
    if "depth" not in given:
        low, high = wilson(exponents, n, level=0.99)
        assert low <= 0.9 <= high


def test_seeds_are_resampled_within_members():
    rng, held, n = np.random.default_rng(2), 0, 200
    for _ in range(n):
        seeds = truth(DEPTH, WIDTH)[:, None] * 10 ** rng.normal(0, 0.1, (8, 5))
        seeds[0, 3:] = np.nan  # fewer seeds of one member
        law = PowerLaw.fit(COLUMNS, seeds)
        slope = law.exponent("width", over="seeds")
        held += slope.low <= -0.5 <= slope.high
    assert wilson(held, n, level=0.99)[0] <= 0.9 and held / n > 0.82
    assert law.values[0] == pytest.approx(10 ** np.nanmean(np.log10(seeds[0])))
    assert slope.n == 38


def test_known_errors_are_a_floor_of_the_scatter():
    law = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), errors=0.05)
    answer = law.predict({"depth": 8, "width": 256})
    assert law.scatter == pytest.approx(0.05) and math.log10(answer.high / answer.low) > 4 * 0.05
    assert law.exponent("depth", over="seeds").low < -1.5 < law.exponent("depth", over="seeds").high


def test_it_refuses_outside_its_sizes_and_with_too_few():
    law = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH))
    far = law.predict({"depth": 4, "width": 4096})
    assert (
        far.value is None and far.status is Status.OUTSIDE_THE_LAW and "8 x beyond the largest measured (512)" in far.reason
    )
    small = law.predict({"depth": 4, "width": 4})
    assert small.status is Status.OUTSIDE_THE_LAW and "16 x below the smallest measured (64)" in small.reason
    assert "depth x width" in law.predict({"depth": 64, "width": 2048}).reason
    loose = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), conditions=[Within(("width",), 100)])
    assert loose.predict({"depth": 4, "width": 4096}).ok
    two = PowerLaw.fit({"size": [1, 2]}, [1.0, 2.0])
    assert two.predict({"size": 3}).status is Status.TOO_FEW_POINTS and "at least 3" in two.predict({"size": 3}).reason
    nothing_left = PowerLaw.fit({k: v[[0, 1, 3]] for k, v in COLUMNS.items()}, [1.0, 2.0, 4.0])
    refusal = nothing_left.predict({"depth": 8, "width": 256})
    assert (
        refusal.status is Status.TOO_FEW_POINTS and "leave nothing over" in refusal.reason and math.isinf(nothing_left.loo)
    )


@pytest.mark.parametrize(
    ("columns", "values", "settings", "sentence"),
    [
        ({}, [1.0], {}, "got no columns"),
        ({"a": [1, 2, 4]}, [1.0, 2.0], {}, "beside 2 values; expected as many"),
        ({"a": [1, 0, 4]}, [1.0, 2.0, 3.0], {}, "expected finite numbers > 0"),
        ({"a": [2, 2, 2]}, [1.0, 2.0, 3.0], {}, "a is 2 for every member; vary it"),
        ({"a": [1, 2, 4], "b": [2, 4, 8]}, [1.0, 2.0, 3.0], {}, "do not tell a, b apart"),
        ({"a": [1, 2, 4]}, [1.0, -2.0, 3.0], {}, "not a finite number > 0"),
        ({"a": [1, 2, 4]}, [1.0, math.nan, 3.0], {}, "a member has no value"),
        ({"a": [1, 2, 4]}, [1.0, 2.0, 3.0], {"given": {"b": 1.0}}, "an exponent is given for b"),
    ],
)
def test_columns_that_cannot_be_fitted_are_one_sentence(columns, values, settings, sentence):
    with pytest.raises(ProblemError, match=sentence):
        PowerLaw.fit(columns, values, **settings)


def test_what_was_not_fitted_has_no_interval_and_a_target_needs_every_size():
    law = PowerLaw.fit(COLUMNS, truth(DEPTH, WIDTH), given={"width": -0.5})
    with pytest.raises(ProblemError, match="'width' was not fitted; expected one of depth"):
        law.exponent("width")
    with pytest.raises(ProblemError, match="expected members or seeds"):
        law.exponent("depth", over="days")
    with pytest.raises(ProblemError, match="the target has no width"):
        law.predict({"depth": 4})
