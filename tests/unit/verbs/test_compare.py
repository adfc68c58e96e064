"""`compare`: what is said of policies, against plain arithmetic and a truth that is known."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest
from scipy import stats

import etastar
from etastar import Criterion, Lane, Options, ProblemError
from etastar.core.lane import LaneStatus, Outcome, StepRow
from etastar.designs.compare import PolicyRuns
from etastar.policies import Constant, Policy, Schedule
from etastar.problems import builder
from etastar.reports.kinds import kind_of
from etastar.verbs.compare.compare import _compared, _difference, _near, holm, split_policies
from etastar.verbs.compare.learning import at_step, curve_of, reached


def outcome(loss: float, trace: tuple[StepRow, ...] = (), status: LaneStatus = LaneStatus.TRAINED) -> Outcome:
    return Outcome(Lane(0.1, 0, 100, Criterion()), status, 1, 100, 2.0, loss, valid_loss=loss, trace=trace)


def falling(rate: float = 0.01) -> Outcome:
    return outcome(1.0, tuple(StepRow(t, 0.1 * (1 - t / 100), 2.0 - rate * t) for t in range(100)))


def test_differences_are_paired_by_seed() -> None:
    rng = random.Random(0)
    seeds = [rng.gauss(0, 1) for _ in range(8)]
    gaps = [rng.gauss(-0.1, 0.02) for _ in range(8)]
    found, p = _difference([outcome(5 + s + g) for s, g in zip(seeds, gaps, strict=True)], [outcome(5 + s) for s in seeds])
    expected = stats.ttest_1samp(gaps, 0.0)
    interval = expected.confidence_interval(0.9)
    assert found.require() == pytest.approx(statistics.fmean(gaps))
    assert (found.low, found.high, p) == pytest.approx((interval.low, interval.high, expected.pvalue))


def test_its_interval_holds_the_true_difference_nine_times_in_ten() -> None:
    rng, held = random.Random(1), 0
    for _ in range(400):
        seeds = [rng.gauss(0, 1) for _ in range(8)]
        found, _ = _difference([outcome(5 + s + rng.gauss(0.3, 0.1)) for s in seeds], [outcome(5 + s) for s in seeds])
        held += found.low <= 0.3 <= found.high  # type: ignore[operator]
    assert 0.86 <= held / 400 <= 0.94


def test_seeds_that_broke_under_either_policy_are_no_pair() -> None:
    broken = outcome(1.0, status=LaneStatus.DIVERGED)
    found, p = _difference([outcome(1.0), broken, outcome(2.0)], [outcome(1.0), outcome(1.0), outcome(1.0)])
    assert (found.status.value, p) == ("too-few-points", None)
    assert found.reason == "2 seeds trained under both policies; three are needed"


def test_what_a_wrong_peak_costs_is_read_between_the_rates_tried() -> None:
    tried = {0.1 * 2.0**k: (outcome(1.0 + k * k),) for k in range(-2, 3)}
    tried[0.1 * 2**0.5] = (outcome(1.0),)
    run = PolicyRuns("constant", Constant(), 0.1, tried, (), at_the_end=False)
    assert [_near(run, m) for m in (0.25, 0.5, 2.0, 4.0, 8.0)] == pytest.approx([5.0, 2.0, 2.0, 5.0, None])
    assert _near(replace(run, peak=0.1 * 2**0.5), 2.0) == pytest.approx(3.5)


def test_holm_is_that_of_the_book() -> None:
    assert holm({"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.5}) == {"a": 0.004, "b": 0.06, "c": 0.06, "d": 0.5}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("linear,cosine", ["linear", "cosine"]),
        ("wsd:decay=0.5, curve=sqrt, psi", ["wsd:decay=0.5,curve=sqrt", "psi"]),
        ("constant@0.5>wsd:decay=0.2,floor=0.1,linear", ["constant@0.5>wsd:decay=0.2,floor=0.1", "linear"]),
    ],
)
def test_policies_are_told_apart_from_settings(text: str, parts: list[str]) -> None:
    assert split_policies(text) == parts


def test_the_loss_on_the_way_is_the_mean_of_ten_steps() -> None:
    lane = falling()
    assert at_step(lane, 50) == pytest.approx((2.0 - 0.01 * statistics.fmean(range(41, 51)), 0.05))
    assert reached(lane, 1.5) == next(t for t in range(9, 100) if 2.0 - 0.01 * statistics.fmean(range(t - 9, t + 1)) <= 1.5)
    assert reached(lane, 0.1) is None


def test_a_curve_is_the_median_of_lanes_that_train() -> None:
    curve = curve_of([falling(0.01), falling(0.012), falling(0.014)], 100)
    assert curve[-1].loss == pytest.approx(at_step(falling(0.012), 99)[0])
    assert (curve[0].step, curve[-1].step) == (0, 99)
    assert all(point.low <= point.loss <= point.high for point in curve)


@pytest.fixture(scope="module")
def answer() -> etastar.verbs.compare.compare_answer.CompareAnswer:
    problem = builder("digits-mlp")(steps=60, width=16)
    rates = {"linear": "linear", "frozen": Constant(), "psi": "psi"}
    named = {name: etastar.policies.named.policy_over(own, 60) for name, own in rates.items()}
    return etastar.compare(problem, named, budget=12, options=Options(store=":memory:", workers=1))


def test_a_comparison_says_what_its_rows_say(answer) -> None:
    losses = [own.loss for own in answer.compared]
    assert losses == sorted(losses)
    assert answer.best == answer.compared[0]
    assert {own.name for own in answer.compared} == {"linear", "frozen", "psi"}
    assert all(own.trainings <= 12 and own.seeds == 4 for own in answer.compared)
    assert answer.lr.require() == answer.compared[0].peak
    assert answer.lr.flags == ("span-not-interval",)
    assert sum(own.verdict == "reference" for own in answer.compared) == 1


@pytest.mark.parametrize(("broken", "best", "verdict"), [(0, "lucky", "better"), (1, "linear", "no difference")])
def test_one_that_breaks_on_more_seeds_is_not_the_best_of_those_that_are_left(answer, broken, best, verdict) -> None:
    steady = tuple(outcome(1.0 + 0.01 * k) for k in range(8))
    lucky = tuple(replace(o, valid_loss=0.5 + o.lane.lr, end_loss=0.5) for o in steady[broken:])
    lucky = (*(outcome(9.0, status=LaneStatus.DIVERGED),) * broken, *lucky)
    runs = [PolicyRuns(name, Constant(), 0.1, {}, final, False) for name, final in (("lucky", lucky), ("linear", steady))]
    found = replace(answer, compared=_compared(runs, 100, None))
    assert found.best is not None
    assert found.best.name == best
    assert next(own.verdict for own in found.compared if own.name == "lucky") == verdict
    assert ("of those that broke on 0 of 8 seeds" in found.summary) == bool(broken)


def test_it_is_drawn(answer) -> None:
    page = kind_of(answer).page(answer)
    assert set(page.charts) == {"learning", "rates", "ends"}
    assert page.tables[0].rows[0][0] == answer.best.name


@pytest.mark.parametrize(
    ("policies", "sentence"),
    [
        ("linear,linear", "the policy linear is given twice; expected each once"),
        (
            "cosine,cosine:warmup=0",
            "the policies cosine and cosine:warmup=0 give the same rates; expected each once: drop one",
        ),
        ("linear:floor=0,wsd", "the policies linear and linear:floor=0 give the same rates"),
        ("", "no policy is given; expected names, e.g. linear,cosine,wsd"),
        ("linear,nope", "schedule is 'nope'; expected one of constant, linear"),
        ("wsd:speed=2", "schedule wsd is given 'speed'; expected settings of warmup, decay"),
    ],
)
def test_what_is_no_policy_is_refused_before_anything_is_trained(policies: str, sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        etastar.compare(builder("quadratic")(), policies, budget=12, options=Options(store=":memory:"))


@pytest.mark.parametrize(
    ("name", "policy", "sentence"),
    [
        (
            "linear",
            Constant(),
            "the policy named linear is Constant.*; expected linear decay, with which all are compared: give",
        ),
        (
            "mine",
            Schedule(decay=0.2).over(50),
            "the policy mine spans 50 steps; expected the 200 of every training: policy.over",
        ),
    ],
)
def test_a_comparison_of_what_cannot_be_compared_is_refused(name: str, policy: Policy, sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        etastar.compare(builder("quadratic")(steps=200), {name: policy}, budget=12, options=Options(store=":memory:"))
