"""`find` within a budget: a real training, the ways to say one, what it says where it has not decided, and refusals."""

from __future__ import annotations

import pytest

import etastar
from etastar import Options, ProblemError, Status
from etastar.engine.preflight import preflight
from etastar.problems import builder
from etastar.reports.kinds import kind_of
from etastar.verbs.find.budget import steps_of

HERE = Options(store=":memory:", workers=1)


@pytest.fixture(scope="module")
def problem():
    return builder("digits-mlp")(width=16, steps=400)


def test_half_a_run_decides(problem):
    answer = etastar.find(problem, budget=0.9, options=HERE)
    assert answer.lr.ok and answer.effort == "budget" and not answer.advice
    assert answer.cost["gradient_steps"] <= 0.9 * 400
    assert answer.bought.extrapolation == 400 / answer.bought.lane_steps
    assert f"from {answer.bought.lanes} lanes of {1 / answer.bought.extrapolation:.2g} of them" in answer.summary
    assert answer.lr.low < answer.lr.value < answer.lr.high
    assert answer.to_json()["bought"]["prior"]["value"] == answer.bought.prior.value


def test_where_it_has_not_decided_the_prior_is_said_with_what_would(problem):
    answer = etastar.find(problem.but(steps=20_000), budget_steps=40, options=HERE)
    assert answer.lr.status is Status.PRIOR_ONLY and answer.cost["gradient_steps"] <= 40
    said = list(kind_of(answer).notes(answer))
    assert [line.split(":")[0].split(" at ")[0] for line in said] == [
        "the prior's rate", "highest rate seen stable", "next purchase", "or start the real run",
    ]  # fmt: skip
    assert f"{answer.bought.prior.value:.2g}" in said[0] and "steps 2,000 and 6,000" in said[3]
    assert f"{answer.bought.next.steps:,} steps" in said[2]


def test_a_start_takes_the_place_of_what_other_tasks_say(problem):
    answer = etastar.find(problem, budget=0.5, start=1e-4, options=HERE)
    assert answer.bought.prior.value == pytest.approx(1e-4)


def test_a_budget_in_gradient_steps(problem):
    facts = preflight(problem)
    assert steps_of(("budget", 0.02), problem, facts) == 8
    assert steps_of(("budget_steps", 120), problem, facts) == 120
    assert steps_of(("budget_seconds", 100 * facts.seconds_per_step), problem, facts) in (99, 100)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"budget": 0.02}, r"8 gradient steps, which buy no lane of 20; expected 60 or more"),
        ({"budget": 0.5, "budget_steps": 100}, "budget and budget_steps are given; expected one budget"),
        ({"budget": 0.5, "effort": "thorough"}, "budget is given with effort thorough"),
        ({"budget": 1.0}, r"budget is 1.0; expected a number in \(0, 1\)"),
        ({"budget_steps": 0}, "budget_steps is 0; expected"),
        ({"budget": 0.5, "within": 0.1}, "within"),
        ({"budget": 0.5, "monitors": "move"}, "budget buys short lanes alone; drop within, precision and monitors"),
    ],
)
def test_what_is_no_budget(problem, asked, says):
    with pytest.raises(ProblemError, match=says):
        etastar.find(problem, **asked, options=HERE)
