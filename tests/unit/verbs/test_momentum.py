"""`momentum`: every value in one session, its lanes with settings of their own, equal to a problem that has that value."""

from __future__ import annotations

import pytest
import torch

import etastar
from etastar import ProblemError
from etastar.designs import Surface
from etastar.designs.surface.surface import Row, lattice_around
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

LOOP = Options(store=":memory:", workers=1, device="cpu", engine="loop")


def sgd(value: float):
    return lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=value)


def adam(beta1: float):
    return lambda model: torch.optim.Adam(model.parameters(), lr=0.01, betas=(beta1, 0.95))


def alone(problem: etastar.Problem, around: float):
    """The best rate of a problem that has the value itself."""
    row = Row(problem.schedule_name, problem.steps, problem.policy)
    with Workplace(LOOP) as place:
        session = place.of(problem)
        return session.run(Surface(session.facts.criterion, [row], lattice_around(around), seeds=2))


@pytest.mark.parametrize(
    ("make", "values", "own", "around"),
    [
        (sgd, (0.0, 0.9), 0.5, lambda value: 0.05 * (1 - value) / 0.5),
        (adam, (0.5, 0.9), 0.9, lambda _: 0.01),
    ],
    ids=["momentum", "beta1"],
)
def test_each_value_is_measured_as_a_problem_that_has_it(small, make, values, own, around):
    small = small.but(steps=16)
    answer = etastar.momentum(small.but(optimizer=make(own)), values=values, seeds=2, options=LOOP)
    for row in answer.rows:
        expected = alone(small.but(optimizer=make(row.value)), around(row.value))
        assert [r.lr for r in row.data.records] == [r.lr for r in expected.records]
        assert [r.loss for r in row.data.records] == pytest.approx([r.loss for r in expected.records], rel=1e-12)
        assert row.data.target == pytest.approx(expected.target, rel=1e-12), "timed against its own lanes"
    assert answer.own == own


def test_all_values_are_one_plan_and_train_together(small):
    said: list[tuple[str, int]] = []
    trained: list[etastar.Outcome] = []
    options = Options(
        store=":memory:", workers=1, on_plan=lambda *plan: said.append(plan), on_outcome=lambda o, new: trained.append(o)
    )
    answer = etastar.momentum(small.but(steps=16, optimizer=sgd(0.5)), values=(0.0, 0.9), seeds=2, options=options)
    assert len(said) == 1 and said[0][1] >= len(trained) == len(answer.runs)
    first = trained[: 2 * 5 * 2]
    assert {o.lane.settings for o in first} == {(("momentum", 0.0),), (("momentum", 0.9),)}, "asked in one batch"


def test_without_time_every_value_says_that_it_was_not_measured(small):
    options = Options(store=":memory:", workers=1, max_seconds=1e-9)
    answer = etastar.momentum(small.but(optimizer=sgd(0.5)), values=(0.0, 0.9), options=options)
    assert "time-limit" in answer.flags and not answer.runs
    assert [r.best.lr.status for r in answer.rows] == [etastar.Status.NOT_MEASURED] * 2


def test_a_loop_of_your_own_has_no_momentum_to_set():
    loop = etastar.Problem.from_loop(lambda lr, seed, report: None, steps=4)
    with pytest.raises(ProblemError, match="momentum can be set only where etastar makes the optimizer"):
        etastar.momentum(loop, options=LOOP)
