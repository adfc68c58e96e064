"""What the verbs of the ideal rate promise: the whole way on three small tasks, and a training that is cut goes on."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from etastar import Options, ProblemError
from etastar.policies import Schedule
from etastar.policies.psi_network import TRAINED
from etastar.verbs.psi.evolution import POPULATION, Course, Evolution, HeldOutLook, Known
from etastar.verbs.psi.fit_psi import PsiAnswer, fit_psi
from etastar.verbs.psi.judging import ALONE, PEAKS, REFERENCES, RIGHT
from etastar.verbs.psi.measured import SmallBench, small_tasks
from etastar.verbs.psi.train_psi import train_psi
from etastar.verbs.workplace import Workplace

THREE = ["digits-softmax", "cancer", "line"]
IN_MEMORY = Options(store=":memory:", workers=1)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Options:
    return Options(store=tmp_path_factory.mktemp("psi") / "runs.db", workers=1)


@pytest.fixture(scope="module")
def fitted(stored: Options) -> PsiAnswer:
    return fit_psi(THREE, optimizers=["sgd"], steps=20, seeds=1, fresh=2, options=stored)


def test_a_form_is_driven_on_groups_it_was_not_fitted_to(fitted) -> None:
    assert {task.group for task in fitted.tasks} == {"digits", "tables", "streams"}
    ratios = [judged.ratio.value for judged in fitted.forms]
    assert ratios == sorted(ratios)
    assert fitted.closed_form.form == fitted.forms[0].form
    assert len(fitted.ideals) == 3 * 21
    assert all(judged.ratio.n == 3 and judged.won + judged.tied + judged.lost == 3 for judged in fitted.forms)


def test_forks_carry_epoch_rate_loss_and_convergence(fitted) -> None:
    row = next(f for f in fitted.forks if f.task == "cancer/sgd" and f.path == "linear" and f.s == 0.5 and f.multiple == 1.0)
    assert row.epoch == pytest.approx(10 / (341 // 32))
    assert row.lr == pytest.approx(0.5 * next(t.peak for t in fitted.tasks if t.task == "cancer/sgd"))
    assert row.eps < 0


def test_a_fit_that_was_killed_reads_what_it_has_trained(fitted, stored: Options) -> None:
    said, told, planned = [], [], []
    options = replace(
        stored,
        on_note=said.append,
        on_outcome=lambda outcome, new: told.append(new),
        on_plan=lambda sentence, lanes: planned.append((sentence, lanes)),
    )
    again = fit_psi(THREE, optimizers=["sgd"], steps=20, seeds=1, fresh=2, options=options)
    assert again.cost["new_gradient_steps"] == 0 < fitted.cost["new_gradient_steps"]
    assert again.forms == fitted.forms
    assert said == [
        "tuning linear decay on 3 tasks",
        "forking the trainings of 3",
        "fitting 8 forms to the rates of 63 states, and driving them on 2 fresh seeds",
    ]
    ((sentence, lanes),) = planned
    assert len(told) == again.made.lanes <= lanes and not any(told)
    assert sentence.startswith(f"at most {lanes} lanes of small networks, ")


def test_of_the_way_of_a_lane_only_what_a_fork_reads_is_stored(fitted, stored: Options) -> None:
    """Every state has one fork a path whose losses are read, as far as the fork: 21 states of 20 steps, three tasks."""
    with sqlite3.connect(stored.store) as store:
        kept = dict(store.execute("select run_key, max(step) from step group by run_key").fetchall())
        lanes = store.execute("select count(*) from run").fetchone()[0]
        assert store.execute("select count(*) from epoch").fetchone()[0] == 0
    assert sorted(kept.values()) == sorted(3 * [at for at in (0, 2, 5, 10, 15, 18) for _ in range(4 if at else 1)])
    assert lanes > 6 * len(kept)


@pytest.mark.parametrize(
    ("families", "sentence"),
    [
        (["digits-mlp", "digits-deep"], "the tasks are of the groups digits; expected 2 groups or more"),
        (["nope"], "family is 'nope'; expected one of digits-mlp"),
    ],
)
def test_tasks_that_leave_nothing_out_are_refused(families: list[str], sentence: str) -> None:
    with pytest.raises(ProblemError, match=sentence):
        fit_psi(families, options=IN_MEMORY)


def test_lanes_of_an_evolution_are_not_stored() -> None:
    task = small_tasks(["line"], ["sgd"], 10, groups=1)[0]
    with Workplace(IN_MEMORY) as place:
        bench = SmallBench(place, 0, 1)
        arms = {"a": (Schedule().over(10), 0.1)}
        assert bench.once(task, arms, 2, "x") == bench.once(task, arms, 2, "x")
        assert bench.steps == 40
        assert place.store.new_gradient_steps == 0


def test_nothing_is_begun_once_time_is_over() -> None:
    place = SimpleNamespace(late=iter([False, False, True]).__next__)
    assert list(SmallBench(cast("Any", place), 0, 1).in_time("abcd")) == ["a", "b"]


def test_a_training_shorter_than_the_looks_is_refused() -> None:
    with pytest.raises(ProblemError, match="horizons holds 12, and the network looks 25 times at a training; expected 25"):
        train_psi(THREE, horizons=(200, 12), options=IN_MEMORY)


def test_an_evolution_that_was_cut_is_played_again() -> None:
    """A part of its costs and looks, as a file keeps them: the rest follows as if it had never been cut."""
    with Workplace(IN_MEMORY) as place:
        bench = SmallBench(place, 0, 1)
        tasks = [Known(task, 0.05, 1.0) for task in small_tasks(["line", "cancer"], ["sgd"], 25)]
        whole = Evolution(bench, tasks[:1], tasks[1:], 2, "x")
        numbers, trained = whole.run(), bench.steps
        assert [look.generation for look in whole.course.looks] == [-1, 1]
        kept = json.loads(json.dumps(whole.course.kept()))
        half = Evolution(bench, tasks[:1], tasks[1:], 2, "x", Course.of({"costs": kept["costs"][:1], "looks": []}))
        assert half.run() == numbers
        assert half.course == whole.course
        assert trained < bench.steps < 2 * trained
        again = Evolution(bench, tasks[:1], tasks[1:], 2, "x", Course.of(kept))
        before = bench.steps
        assert again.run() == numbers
        assert bench.steps == before


def test_the_best_look_gives_the_numbers() -> None:
    """The first of them is of the numbers it began with, which stay where nothing is better on what was held out."""
    with Workplace(IN_MEMORY) as place:
        tasks = [Known(task, 0.05, 1.0) for task in small_tasks(["line", "cancer"], ["sgd"], 25)]
        evolution = Evolution(SmallBench(place, 0, 1), tasks[:1], tasks[1:], 2, "x")
        known = {-1: 0.5, 1: 1.0}
        costs = [[1.0 + 0.1 * i for i in range(POPULATION)]] * 2
        evolution.course = Course(costs, [HeldOutLook(*look) for look in known.items()])
        assert evolution.run() == TRAINED


def test_time_that_is_over_ends_an_evolution_and_keeps_its_course(tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    options = Options(store=":memory:", workers=1, max_seconds=0.01)
    found = train_psi(THREE, optimizers=["sgd"], horizons=(25,), generations=1, weights=weights, options=options)
    assert found.numbers == () and not found.ratio.ok
    assert "time was over before the network was driven; the same command goes on" in found.summary
    assert json.loads(weights.read_text())["numbers"] == []


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "mine.json"
    own.write_text('{"a": 1}')
    with pytest.raises(ProblemError, match=r"mine\.json holds no weights; expected a file that psi train made"):
        train_psi(THREE, horizons=(25,), weights=own, options=IN_MEMORY)
    assert own.read_text() == '{"a": 1}'


@pytest.mark.slow
def test_a_network_is_evolved_and_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    out, looks, said, planned = tmp_path / "weights.json", [], [], []
    arguments = {
        "optimizers": ["sgd"],
        "horizons": (25,),
        "generations": 6,
        "fresh": 1,
        "weights": out,
        "options": replace(IN_MEMORY, on_note=said.append, on_plan=lambda _, lanes: planned.append(lanes)),
    }
    found = train_psi(THREE, on_look=looks.append, **arguments)
    kept = json.loads(out.read_text())
    assert said[0] == "over 25 steps: tuning linear decay on 3 tasks"
    assert said[1] == "without digits: 6 generations on 1 tasks, stopped by streams" and len(said) == 2 + 4 * 2 + 1
    assert 0.5 * planned[0] < found.made.lanes <= planned[0]
    assert {look.fold for look in looks} == {"digits", "streams", "tables", "all"}
    assert len(kept["evolutions"]) == 4 * 2 + 1
    assert all(len(numbers) == len(TRAINED) for numbers in found.folds.values())
    shown = {(j.peak, j.against) for j in found.judged if j.arm == "network"}
    assert shown == {(peak, against) for peak in PEAKS if peak not in ALONE for against in REFERENCES}
    assert {j.peak for j in found.judged if (j.arm, j.against) == ("linear", "tuned")} == {*PEAKS} - {RIGHT}
    again = train_psi(THREE, on_look=looks.append, **arguments)
    assert (again.numbers, again.folds) == (found.numbers, found.folds)
    assert found.policy.over(100).reads
