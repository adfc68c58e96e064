"""`find`: the verdict on the rate in use, the rule for the recommended one, efforts, and what refuses."""

from __future__ import annotations

import dataclasses

import pytest
from benchmarks.coverage import TRUTHS, measure

import etastar
from etastar import Estimate, NoAnswer, Options, Precision, ProblemError, Status
from etastar.engine.preflight import preflight
from etastar.problems import builder
from etastar.verbs.find import CENTRES, FRACTIONS, _judge, centre, recommend


@pytest.fixture(scope="module")
def band():
    return measure(TRUTHS["logistic"](-1.0, 0.2), 0)


def verdict(lr, band, optimizer="SGD", end=None):
    return _judge(lr, band, end, recommend(band.eta_star, optimizer, False))


def test_the_rate_in_use_is_judged_against_eta_star_and_the_recommendation(band):
    eta_star = band.eta_star.require()
    assert verdict(2 * eta_star, band).verdict == "too-high"
    edge = (band.eta_star_90.require() * band.eta_star.high) ** 0.5
    assert verdict(edge, band).verdict == "on-the-edge"
    assert verdict(0.25 * eta_star, band).verdict == "plausible"
    assert verdict(1e-3 * eta_star, band).verdict == "low"
    judged = verdict(0.25 * eta_star, band)
    assert judged.of_eta_star == pytest.approx(0.25) and judged.of_best == pytest.approx(1.0)
    assert judged.probability > 0.9 and verdict(2 * eta_star, band).probability < 0.3


def test_a_rate_that_starts_but_does_not_last_is_told_so(band):
    lower = dataclasses.replace(band, eta_star=Estimate(0.03, 0.02, 0.04))
    assert verdict(0.05, band, end=lower).verdict == "will-not-last"
    assert verdict(0.025, band, end=lower).verdict == "plausible"


def test_without_eta_star_nothing_is_judged(band):
    none = Estimate.none(Status.FLAT, "flat")
    judged = verdict(0.1, dataclasses.replace(band, eta_star=none))
    assert judged.verdict == "unknown" and judged.of_best is None


@pytest.mark.parametrize(
    ("optimizer", "momentum", "kind"), [("SGD", False, "sgd"), ("SGD", True, "momentum"), ("AdamW", False, "adam")]
)
def test_the_rule_is_the_recorded_fraction_with_its_spread(optimizer, momentum, kind):
    fraction, sd = FRACTIONS[kind]
    lr = recommend(Estimate(1.0, 0.9, 1.1), optimizer, momentum)
    assert lr.value == fraction and lr.low == pytest.approx(fraction * 10 ** (-1.645 * sd)) and lr.high <= 1.0
    assert 0.4 <= sd <= 0.7, "the measured spread over tasks, in decades"


def test_more_effort_costs_more_and_only_thorough_measures_the_end():
    problem = builder("noisy-quadratic")()
    answers = {
        e: etastar.find(problem, effort=e, options=Options(store=":memory:", workers=1))
        for e in ("glance", "quick", "thorough")
    }
    steps = [a.cost["gradient_steps"] for a in answers.values()]
    assert steps == sorted(steps) and steps[0] < steps[-1]
    assert answers["thorough"].eta_star_end.ok
    for effort in ("glance", "quick"):
        assert answers[effort].eta_star_end.status is Status.NOT_MEASURED
    half = {e: (a.eta_star.high - a.eta_star.low) / 2 / a.eta_star.value for e, a in answers.items()}
    assert half["thorough"] <= 0.1


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


def test_a_no_answer_raises_when_a_value_is_required():
    problem = builder("quadratic")(steps=30).but(loss_threshold=1e-30)
    options = Options(store=":memory:", workers=1)
    answer = etastar.find(problem, effort="glance", precision=Precision(scan_seeds=1), options=options)
    assert not answer.lr.ok and answer.lr.status is answer.eta_star.status is Status.NEVER_SUCCEEDS
    with pytest.raises(NoAnswer, match=r"no answer \(never-succeeds\)"):
        answer.lr.require()


def test_the_scan_is_centred_by_the_critical_rate_where_that_is_known_to_help():
    from etastar import Constant, Problem

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
    assert "Dropout" in findings["not mlp"].sentence and "randomness" in findings["not vmap"].sentence
