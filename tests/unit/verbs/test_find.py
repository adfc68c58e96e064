"""`find`: efforts, the best rate under a schedule and horizon, where the search begins, and what refuses."""

from __future__ import annotations

import dataclasses
import math

import pytest
from benchmarks.coverage import TRUTHS, measure

import etastar
from etastar import Estimate, NoAnswer, Options, ProblemError, Status
from etastar.designs.best_rate.best_rate import BestRate, RungResult
from etastar.engine.preflight import preflight
from etastar.problems import builder
from etastar.verbs.find.eta_star import CENTRES, centre
from etastar.verbs.find.find import EFFORTS, USUAL, _capped, start_rate


@pytest.fixture(scope="module")
def answers():
    problem = builder("digits-mlp")(width=32, steps=160)
    return {e: etastar.find(problem, effort=e, options=Options(store=":memory:", workers=1)) for e in EFFORTS}


def test_efforts_cost_what_they_say_and_measure_what_they_say(answers):
    glance, quick, thorough = (answers[e] for e in ("glance", "quick", "thorough"))
    assert glance.cost["full_runs"] <= 0.6 and quick.cost["full_runs"] <= 3.2
    assert glance.eta_star.status is Status.NOT_MEASURED and glance.eta_star.low is None
    assert quick.eta_star.status is Status.NOT_MEASURED and quick.eta_star.low > quick.lr.value
    assert thorough.eta_star.ok and thorough.eta_star_end.ok
    assert quick.eta_star.low <= thorough.eta_star.high
    half = (thorough.eta_star.high - thorough.eta_star.low) / 2 / thorough.eta_star.value
    assert half <= 0.1 or "max-runs" in thorough.eta_star.flags


def test_efforts_agree_on_the_best_rate(answers):
    full = answers["thorough"].lr
    assert full.method.endswith("over all 160 steps")
    for effort in ("glance", "quick"):
        lr = answers[effort].lr
        assert lr.low <= full.value <= lr.high
    widths = [math.log10(answers[e].lr.high / answers[e].lr.low) for e in ("glance", "quick", "thorough")]
    assert widths == sorted(widths, reverse=True)
    assert answers["thorough"].best.plateau[0] <= full.value <= answers["thorough"].best.plateau[1]


def test_the_interval_asked_for_is_reached_or_flagged():
    problem = builder("digits-mlp")(width=16, steps=60)
    answer = etastar.find(problem, within=0.12, options=Options(store=":memory:", workers=1))
    narrow = math.log10(answer.lr.high / answer.lr.low) / 2 <= 0.12
    assert narrow or {"max-runs", "not-bracketed"} & set(answer.lr.flags)


@pytest.mark.slow
def test_a_schedule_moves_the_best_rate_up():
    problem = builder("digits-mlp")(width=32, steps=160)
    options = Options(store=":memory:", workers=1)
    best = {s: etastar.find(problem.but(schedule=s), options=options).lr.value for s in ("constant", "warmup-cosine")}
    assert best["warmup-cosine"] > 1.1 * best["constant"]


def test_the_search_begins_between_the_rate_in_use_and_what_is_usual():
    problem = builder("digits-mlp")(width=16, steps=160)
    facts = preflight(problem)
    assert start_rate(problem, facts) == pytest.approx((0.05 * USUAL["momentum"]) ** 0.5)
    longer = problem.but(steps=640)
    assert start_rate(longer, facts) == pytest.approx((0.05 * USUAL["momentum"] / 2) ** 0.5)
    cosine = problem.but(schedule="cosine")
    assert start_rate(cosine, facts) == pytest.approx((0.05 * USUAL["momentum"] / 0.503) ** 0.5, rel=0.01)
    adagrad = builder("digits-mlp")(width=16, optimizer="adagrad:lr=0.02")
    assert start_rate(adagrad, preflight(adagrad)) == pytest.approx(0.02)


@pytest.mark.slow
def test_a_start_far_off_ends_at_the_same_rate():
    problem = builder("digits-mlp")(width=32, steps=160)
    options = Options(store=":memory:", workers=1)
    found = [etastar.find(problem, effort="quick", start=start, options=options).lr for start in (1e-3, 0.05, 2.0)]
    values = [lr.value for lr in found]
    assert max(values) / min(values) < 3


def test_a_constant_rate_is_held_below_half_of_what_lasts():
    lr = Estimate(0.1, 0.05, 0.2)
    best = BestRate(lr, None, (3, 3), (RungResult(80, ((0.1, -1.0, 0.1),), 0.1, True),), "validation loss", 1.0)
    band = dataclasses.replace(measure(TRUTHS["logistic"](-1.0, 0.2), 0), eta_star=Estimate(0.12, 0.11, 0.13))
    problem = builder("digits-mlp")()
    capped = _capped(best, problem, band).lr
    assert capped.value == 0.06 and "half-of-eta-star" in capped.flags
    assert _capped(best, problem.but(schedule="cosine"), band).lr == lr
    assert _capped(best, problem, None).lr == lr


def test_the_planned_cost_comes_first_and_is_kept():
    said = []
    problem = builder("noisy-quadratic")(steps=60)
    options = Options(store=":memory:", workers=1, on_plan=lambda text, lanes: said.append((text, lanes)))
    answer = etastar.find(problem, effort="quick", options=options)
    ((text, lanes),) = said
    assert "gradient steps" in text and "full runs" in text
    assert len(answer.runs) <= lanes and answer.cost["gradient_steps"] <= lanes * 60


def test_bad_arguments_are_a_sentence():
    problem = builder("quadratic")()
    with pytest.raises(ProblemError, match="effort is 'huge'; expected one of glance, quick, thorough"):
        etastar.find(problem, effort="huge")
    with pytest.raises(ProblemError, match=r"steps_to_start is 0; expected 1 \.\. 200"):
        etastar.find(problem, steps_to_start=0)
    with pytest.raises(ProblemError, match=r"got a str; expected an etastar\.Problem"):
        etastar.find("quadratic")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="within is 0; expected a number > 0"):
        etastar.find(problem, within=0)
    with pytest.raises(ProblemError, match="start is -1; expected a learning rate > 0"):
        etastar.find(problem, start=-1)


def test_a_no_answer_raises_when_a_value_is_required():
    def train(lr, seed, report):
        while report(loss=1.0):
            pass

    problem = etastar.Problem.from_loop(train, steps=30)
    answer = etastar.find(problem, effort="glance", options=Options(store=":memory:", workers=1))
    assert answer.lr.status is Status.FLAT
    with pytest.raises(NoAnswer, match=r"no answer \(flat\)"):
        answer.lr.require()


def test_eta_star_by_itself_can_have_no_answer():
    problem = builder("quadratic")(steps=30).but(loss_threshold=1e-30)
    answer = etastar.eta_star(problem, options=Options(store=":memory:", workers=1))
    assert answer.estimate.status is Status.NEVER_SUCCEEDS


def test_the_scan_is_centred_by_the_critical_rate_where_that_is_known_to_help():
    from etastar import Problem
    from etastar.policies import Constant

    problem = builder("digits-mlp")(width=16)
    facts = preflight(problem)
    around, reach = centre(problem, facts, "cpu")
    assert around == pytest.approx(etastar.probe(problem, samples=128)["eta_c"].value * 10 ** CENTRES["sgd"][0], rel=0.3)
    assert reach == (1.5, 1.5) and around != facts.lr
    adam = builder("digits-mlp")(width=16, optimizer="adam:lr=0.001")
    assert centre(adam, preflight(adam), "cpu")[1] == (1.0, 1.0)
    unknown = builder("digits-mlp")(width=16, optimizer="adagrad:lr=0.01")
    assert centre(unknown, preflight(unknown), "cpu") == (0.01, (3.0, 3.0))

    @dataclasses.dataclass(frozen=True)
    class Own(Constant):
        """Not constant as far as find can know."""

    assert centre(problem.but(schedule=Own()), facts, "cpu") == (facts.lr, (3.0, 3.0))

    def train(lr, seed, report):
        w = 1.0
        while report(loss=w * w):
            w -= lr * 2 * w

    loop = Problem.from_loop(train, steps=50, lr=0.2)
    assert centre(loop, preflight(loop), "cpu") == (0.2, (3.0, 3.0))


def test_lanes_that_cannot_be_vectorised_are_flagged_and_the_doctor_says_why():
    from torch import nn

    base = builder("digits-mlp")(width=16)
    problem = base.but(model=lambda: nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 10)))
    answer = etastar.find(problem, effort="glance", options=Options(store=":memory:", workers=1))
    assert "fallback-loop" in answer.flags and answer.engine == "sequential/cpu"
    from etastar.verbs.doctor import doctor

    findings = {f.topic: f for f in doctor(problem).findings}
    assert findings["engine"].level == "note" and "one lane after the other" in findings["engine"].sentence
    assert "Dropout" in findings["not mlp"].sentence and "random numbers" in findings["not vmap"].sentence
