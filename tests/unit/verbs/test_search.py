"""`search` from Python: lanes of several problems, the prior it begins with, and what it hands to other searches."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import import_module

import optuna
import pytest

import etastar
from etastar import Estimate, Lane, NoAnswer, Options, ProblemError, Status
from etastar.core import Until
from etastar.core.randomness import derive_seed
from etastar.engine import LoopEngine
from etastar.engine.preflight import preflight
from etastar.errors import MissingExtra
from etastar.policies.named import policy_over
from etastar.verbs.find.find import find_in
from etastar.verbs.search.optuna_space import OptunaSpace
from etastar.verbs.search.prior import Prior, measured, prior_of
from etastar.verbs.search.search_answer import cost_of_both
from etastar.verbs.workplace import Workplace

MEMORY = Options(store=":memory:", workers=1)
SPACE = {
    "lr": {"low": 0.01, "high": 1.0},
    "momentum": {"low": 0.0, "high": 0.9},
    "batch_size": {"choices": [16, 32]},
    "schedule": {"choices": ["constant", "linear"]},
}


def test_every_trial_is_the_lane_an_ordinary_loop_would_train(small, data):
    """Whatever problem its settings make: batch size, momentum, schedule and all."""
    problem = small.but(valid=data, steps=12)
    answer = etastar.search(problem, sampler="random", trials=8, space=SPACE, options=MEMORY)
    criterion = preflight(problem).criterion
    for trial in answer.trials:
        own = problem.but(batch_size=trial.params["batch_size"])
        policy = policy_over(trial.params["schedule"], 12)
        settings = (("momentum", trial.params["momentum"]),)
        lane = Lane(trial.lr, derive_seed(0, "lane", 0), 12, criterion, Until.END, policy, settings)
        assert trial.loss == pytest.approx(LoopEngine().train_lane(own, lane).valid_loss, rel=1e-4)
    assert {t.params["batch_size"] for t in answer.trials} == {16, 32}


def test_its_seconds_are_those_of_the_search_and_of_the_glance_before_it(small):
    """It once said those since the machine was started."""
    now = [1e5]
    with Workplace(MEMORY, lambda: now[0]) as place:
        found = find_in(place.of(small), "glance", 0)
        assert found.cost["seconds"] == 0.0
        now[0] += 3.0
        session = place.of(small)
        now[0] += 4.0
        assert cost_of_both(session, None)["seconds"] == 4.0
        glanced = replace(found, made=replace(found.made, cost={**found.cost, "seconds": 3.0}))
        assert cost_of_both(session, glanced)["seconds"] == 7.0


def test_arguments_of_a_function(small):
    def make(steps: int = 10, scale: float = 1.0) -> etastar.Problem:
        return small.but(loss=lambda o, t: scale * small.loss(o, t), steps=steps)

    space = {"lr": {"low": 0.01, "high": 0.1}, "scale": {"choices": [1.0, 0.5]}}
    answer = etastar.search(make(), sampler="grid", trials=6, space=space, make=make, options=MEMORY)
    assert answer.best is not None and answer.best.params["scale"] == 0.5
    with pytest.raises(
        ProblemError, match=r"the space has \[steps\], which nothing has here; expected some of lr, schedule"
    ):
        etastar.search(make(), space={"steps": {"choices": [5]}}, make=make, options=MEMORY)


@pytest.mark.slow
def test_worker_processes_give_the_same_answer(small):
    """One batch: a pool serves one problem, and every batch would start the pools of both batch sizes anew."""
    answers = [
        etastar.search(small, trials=8, batch=8, space=SPACE, options=replace(MEMORY, workers=workers, engine="loop"))
        for workers in (1, 2)
    ]
    assert [t.loss for t in answers[0].trials] == [t.loss for t in answers[1].trials]


def test_the_users_logging_and_warnings_are_left_alone(small):
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            etastar.search(small, sampler="genetic", trials=4, space=SPACE, options=MEMORY)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_the_prior():
    lr, eta_star = Estimate(0.08, 0.01, 0.4), Estimate(0.4, 0.35, 0.45)
    prior = measured(lr, eta_star)
    assert prior == Prior(0.001, pytest.approx(1.2), (0.08, 0.01, 0.4))
    bound = Estimate.none(Status.NOT_MEASURED, "a glance", low=0.1, high=0.8)
    assert measured(lr, bound) == Prior(0.001, pytest.approx(2.4), (0.08, 0.01, 0.4))
    assert measured(lr, None) == Prior(0.001, 4.0, (0.08, 0.01, 0.4))
    assert measured(Estimate.none(Status.FLAT, "flat"), eta_star) is None
    assert prior_of(None, 0.1) == Prior(pytest.approx(1e-3), 10.0, (0.1,), ("prior-not-measured",))


@pytest.fixture(scope="module")
def found() -> etastar.verbs.FindAnswer:
    from etastar.problems import builder

    return etastar.find(builder("quadratic")(), effort="glance", options=MEMORY)


def test_a_real_optuna_study_begins_where_the_measurement_ends(found):
    space = etastar.optuna_space(found, name="learning_rate")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space.enqueue(study, depth=3)
    space.enqueue(study, depth=3)
    seen = []

    def objective(trial: optuna.Trial) -> float:
        seen.append((space.suggest(trial), trial.suggest_int("depth", 1, 5)))
        return abs(seen[-1][0] - 0.1)

    study.optimize(objective, n_trials=12)
    lr = found.lr
    assert seen[:3] == [(lr.value, 3), (lr.low, 3), (lr.high, 3)]
    assert all(space.low <= rate <= space.high for rate, _ in seen)
    assert all(t.distributions["learning_rate"] == space.distributions["learning_rate"] for t in study.trials)
    assert space.low == pytest.approx(lr.low / 10) and lr.high <= space.high <= 10 * lr.high * (1 + 1e-9)
    trial = study.ask(space.distributions)
    assert space.low <= trial.params["learning_rate"] <= space.high


def test_a_search_hands_its_span_on(small):
    answer = etastar.search(small, trials=8, space=SPACE, options=MEMORY)
    space = etastar.optuna_space(answer)
    assert space.prior.first[0] == answer.lr.value
    assert space.low < answer.lr.low <= answer.lr.high < space.high


def test_no_answer_has_no_space(found):
    with pytest.raises(NoAnswer, match="flat"):
        etastar.optuna_space(replace(found, best=replace(found.best, lr=Estimate.none(Status.FLAT, "flat"))))
    with pytest.raises(ProblemError, match=r"expected what etastar\.find or etastar\.search returned"):
        etastar.optuna_space(0.1)  # type: ignore[arg-type]


def test_ray_tune_where_it_is_there():
    space = OptunaSpace(Prior(1e-3, 1.0, (0.1,)))
    assert space.ray_first() == [{"lr": 0.1}]
    try:
        import_module("ray.tune")
    except ImportError:
        with pytest.raises(MissingExtra, match=r"pip install 'ray\[tune\]'"):
            space.ray()
        return
    assert 1e-3 <= space.ray()["lr"].sample() <= 1.0
