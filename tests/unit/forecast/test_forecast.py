"""What is asked of logs: each answer against the truth the logs were made from, or a sentence that says what would do."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from etastar import ProblemError
from etastar.core.told import told
from etastar.laws.curves.curve import Curve
from etastar.verbs.forecast.back_test import back_tested
from etastar.verbs.forecast.forecast import forecast
from etastar.verbs.forecast.questions import cooldown_now, rest, twice
from etastar.verbs.forecast.ran import Ran, schedule_rates
from loss_curves import SCHEDULES, STEPS, WARMUP, fading, warmed

pytestmark = pytest.mark.usefixtures("few_refits")


def log(name, steps=STEPS, noise=5e-4, seed=0, until=None, every=100):
    """A log of this schedule, every 100 steps, until step `until`."""
    rates = warmed(SCHEDULES[name], steps)
    at = np.arange(every, (until or steps) + 1, every)
    losses = fading(rates)[at - 1] * (1 + noise * np.random.default_rng(seed).standard_normal(len(at)))
    return pd.DataFrame({"step": at, "lr": rates[at - 1], "loss": losses})


def held(estimate, truth):
    return estimate.low <= truth <= estimate.high and estimate.value == pytest.approx(truth, rel=6e-3)


def test_from_three_logs_everything_is_answered_and_true():
    answer = forecast(log("constant"), log("cosine", seed=1), log("two stages", seed=2), schedule="linear", steps=2 * STEPS)
    peak = 1e-3
    assert held(answer["own-plan"].end, fading(warmed(SCHEDULES["constant"], 2 * STEPS))[-1])
    assert held(answer["schedule"].end, fading(schedule_rates("linear", peak, 2 * STEPS))[-1])
    for question in ("cooldown-now", "twice"):
        rates = answer[question].rates
        assert held(answer[question].end, fading(rates)[-1]) and rates[-1] < 0.02 * peak
    true = {s.name: s.loss.value for s in answer.shapes}
    assert answer.shapes[-1].name == "constant" and len(true) == 6
    assert (
        answer.law == "fading noise" and answer.ok and answer.summary.startswith("linear at 0.001 over 24,000 steps: loss")
    )


def test_a_branch_answers_what_one_constant_run_cannot():
    alone = forecast(log("constant", until=6000))
    assert not alone["cooldown-now"].end.ok and "measure one branch, a cooldown" in alone["cooldown-now"].end.reason
    branch = rest(_curve(log("constant", until=4000)), 400, 1.0)
    at = np.arange(4020, 4401, 20)
    made = {"step": at, "lr": branch[at - 1], "loss": fading(branch)[at - 1]}
    answer = forecast(log("constant", until=6000), pd.concat([log("constant", until=4000), pd.DataFrame(made)]))
    assert held(answer["cooldown-now"].end, fading(answer["cooldown-now"].rates)[-1])


def _curve(table):
    return Curve(table["step"], table["loss"], np.interp(np.arange(1, table["step"].max() + 1), table["step"], table["lr"]))


def test_the_plan_is_what_ran_is_said_to_be():
    ran = Ran("warmup-cosine:warmup=0.05,decay=0.95,floor=0.1", 1e-3, STEPS)
    known = 3 * STEPS // 4
    at = np.arange(100, known + 1, 100)
    answer = forecast(
        {"step": at, "loss": fading(ran.rates)[at - 1]},
        ran="warmup-cosine:warmup=0.05,decay=0.95,floor=0.1",
        lr=1e-3,
        horizon=STEPS,
    )
    assert held(answer["own-plan"].end, fading(ran.rates)[-1])
    assert answer["own-plan"].curve.steps[0] == known + 1 and len(answer["own-plan"].rates) == STEPS


def test_rates_of_questions():
    run = _curve(log("constant", noise=0.0, until=5000))
    now = cooldown_now(run)
    assert len(now) == 5500 and (now[:5000] == run.rates).all()
    assert now[5000:] == pytest.approx(1e-3 * (1 - np.arange(500) / 500))
    longer = twice(run)
    assert len(longer) == 10_000 and (longer[WARMUP + 100 : 3600] == 1e-3).all()
    assert longer[-1] < 1e-6 and (np.diff(longer[WARMUP:]) <= 1e-12).all()
    cooled = _curve(log("wsd", noise=0.0))
    assert twice(cooled)[8500] == pytest.approx(1e-3), "the cooldown that was trained is undone"
    cosine = _curve(log("cosine", noise=0.0))
    assert twice(cosine)[STEPS - 1] == cosine.rates[-1] and twice(cosine)[-1] < 1e-6, "goes on from where it is"


@pytest.mark.parametrize("given", [{"cut": 0.5}, {"check": "other"}])
def test_what_is_checked_is_never_read_by_a_fit(given):
    """Scrambled losses of the checked part change every error and no forecast."""
    known = [log("constant"), log("cosine", seed=1)]
    checked, wrong = (log("wsd", seed=3) for _ in range(2))
    half = np.ones(len(wrong), dtype=bool) if "check" in given else wrong["step"] > STEPS // 2
    wrong.loc[half, "loss"] = wrong.loc[half, "loss"].to_numpy()[::-1] + 1.0
    if "check" in given:
        answers = [forecast(*known, check=table) for table in (checked, wrong)]
    else:
        answers = [forecast(table, *known, cut=0.5) for table in (checked, wrong)]
    one, other = answers
    assert one.exponents == other.exponents and one.law == other.law
    for right, scrambled in zip(one.checks, other.checks, strict=True):
        assert scrambled.mae > 0.5 and right.mae < 0.1 and scrambled.answered == right.answered
        at = checked["loss"].to_numpy()[-3:].mean() - wrong["loss"].to_numpy()[-3:].mean()
        assert scrambled.final_error - right.final_error == pytest.approx(at, abs=1e-9), "the same forecast of the end"


def test_checks_put_the_default_law_first_and_it_does_best():
    answer = forecast(log("constant"), log("cosine", seed=1), log("two stages", seed=2), check=log("linear", seed=3))
    assert [c.law for c in answer.checks][:3] == ["fading noise", "blind power law", "same gain"]
    first = answer.checks[0]
    assert first.mae == min(c.mae for c in answer.checks) and first.coverage > 0.9 and abs(first.final_error) < 0.01
    assert json.loads(json.dumps(answer.to_json()))["checks"][0] == told(first)
    assert answer.problem == "table 1 (checked)" and answer.summary.startswith("fading noise is off by 0.00")


def test_errors_of_a_check_are_those_by_hand():
    tables = [log("constant"), log("wsd", seed=1)]
    held_out = _curve(log("linear", seed=2)).fitted
    held_out = held_out.at(held_out.steps >= 1000)
    (first, blind, *_) = back_tested([_curve(t) for t in tables], held_out)
    from etastar.laws.curves.blind_power import BlindPower

    values = BlindPower.fit([_curve(t) for t in tables]).values(held_out.rates, held_out.steps)
    off = values - held_out.losses
    assert blind.mae == pytest.approx(np.abs(off).mean()) and blind.final_error == pytest.approx(off[-3:].mean())
    assert blind.worst == pytest.approx(np.abs(off / held_out.losses).max()) and first.answered == 1


def test_one_log_is_checked_on_its_second_half():
    answer = forecast(log("constant"), cut=0.5)
    assert answer.checks[0].law == "fading noise and blind power law" and answer.checks[0].mae < 0.01
    refused = forecast(log("wsd"), cut=0.5).checks[0]
    assert refused.final_error is None and refused.answered < 0.7 and "no curve was annealed" in refused.reason


def test_few_evaluations_are_what_is_forecast_and_checked():
    """Training losses stand .1 below; ten evaluations give the level, and they alone are scored."""
    table = log("constant")
    evaluated = np.where(np.arange(len(table)) % 12 == 11, table["loss"] + 0.1, np.nan)
    table = table.assign(val_loss=evaluated)
    first = forecast(table, cut=0.5).checks[0]
    assert first.mae is not None and first.mae < 0.01
    assert forecast(table).curves[0].shifted.sum() == len(table) - 10
    with pytest.raises(ProblemError, match=r"leaves too few evaluation losses until step .*; take a larger share, or name"):
        forecast(table, cut=0.15)


def test_answers_are_json_without_numbers_that_are_none():
    answer = forecast(log("constant", until=6000), steps=STEPS)
    content = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    plan, cooldown, _ = content["answers"]
    assert cooldown["question"] == "cooldown-now" and cooldown["points"][-1]["loss"] is None
    end = answer["own-plan"].end
    assert plan["points"][-1] == {"step": STEPS, "lr": 1e-3, "loss": end.value, "low": end.low, "high": end.high}
    assert content["lanes"] == 0 and content["cost"]["seconds"] > 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 0}, "steps is 0; expected an integer >= 1"),
        ({"cut": 1.5}, "cut is 1.5; expected a share of the log"),
        ({"cut": 0.005}, "leaves no losses on one side of step 60; take another share"),
        (
            {"ran": "cosine", "lr": 1e-3, "horizon": STEPS, "steps": 2 * STEPS},
            "steps is 24000 and the schedule that ran ends",
        ),
        ({"ran": "cosine"}, "got ran alone; expected ran, lr and horizon together"),
        ({"schedule": "sawtooth"}, "schedule is 'sawtooth'; expected one of constant, linear"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ProblemError, match=sentence):
        forecast(log("constant"), **given)


def test_a_log_given_twice_is_refused_and_equal_names_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        log("constant", seed=ord(folder)).to_csv(tmp_path / folder / "log.csv", index=False)
    a, b = (tmp_path / folder / "log.csv" for folder in ("a", "b"))
    with pytest.raises(ProblemError, match="is given twice; give each once"):
        forecast(a, a)
    assert [c.name for c in forecast(a, b).curves] == ["log.csv", "log.csv (2)"]
    assert set(forecast(a, check=b).notes) == {"log.csv", "log.csv (checked)"}


def test_a_check_on_what_was_fitted_is_refused():
    """Its errors would be those of the fit. A branch, which shares its trunk's first losses, is checked."""
    whole, trunk = log("constant"), log("constant", until=4000)
    for seen in (whole, trunk):
        with pytest.raises(
            ProblemError, match=r"the last losses of 'table 1 \(checked\)' are in 'table 1', too, which is fitted"
        ):
            forecast(whole, check=seen)
    branch = rest(_curve(trunk), 400, 1.0)
    cooled = pd.DataFrame({"step": (at := np.arange(4020, 4401, 20)), "lr": branch[at - 1], "loss": fading(branch)[at - 1]})
    assert forecast(whole, check=pd.concat([trunk, cooled])).checks


def test_steps_that_the_log_has_passed_are_refused():
    with pytest.raises(
        ProblemError, match="steps is 3000 and the log goes to step 6000; give more, or the schedule of such"
    ):
        forecast(log("constant", until=6000), steps=3000)
