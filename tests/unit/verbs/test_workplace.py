"""`Workplace`: one store, one deadline and one preflight a problem, over many problems; processes end with it."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest
import torch

from etastar import Lane, ProblemError, StoreError
from etastar.core import Until
from etastar.core.design import Plan
from etastar.designs.fixed_lanes import FixedLanes
from etastar.verbs.options import Options
from etastar.verbs.psi.measured import Forgetful
from etastar.verbs.workplace import Workplace

QUIET = {"store": ":memory:", "workers": 1, "device": "cpu", "engine": "loop"}


def lanes(n: int) -> FixedLanes:
    return FixedLanes([Lane(0.01 * (i + 1), 0, 4, until=Until.END) for i in range(n)], batch=1)


class Clock:
    """One of our own: a second for every lane that ends."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def tick(self, outcome, new) -> None:
        self.now += 1.0

    def place(self, seconds: float) -> Workplace:
        return Workplace(Options(**QUIET, max_seconds=seconds, on_outcome=self.tick), self)


def test_one_deadline_for_all_problems(small):
    with Clock().place(6.4) as place:
        assert len(place.of(small).run(lanes(4))) == 4
        other = place.of(small.but(clip_grad_norm=1.0))
        assert len(other.run(lanes(4))) == 2 and not place.late()
        assert len(other.run(FixedLanes([Lane(0.5, 0, 4)]))) == 0, "a lane takes a second, and less is left"
        assert place.of(small).cost()["seconds"] == 0.0 and place.seconds == 6.0


def test_a_share_of_the_time_counts_from_the_start_of_all(small):
    with Clock().place(8.4) as place:
        session = place.of(small)
        assert len(session.run(lanes(9), share=0.5)) == 4
        assert len(session.run(FixedLanes([Lane(0.2, s, 4) for s in range(9)], batch=1))) == 4


def test_without_a_limit_it_is_never_late():
    clock = Clock()
    place = Workplace(Options(**QUIET), clock)
    clock.now = 1e9
    assert not place.late()


def test_the_plan_is_said_once_before_the_first_lane(small):
    heard: list[str] = []
    options = Options(
        **QUIET, on_plan=lambda sentence, lanes: heard.append(sentence), on_outcome=lambda o, new: heard.append("lane")
    )
    with Workplace(options) as place:
        session = place.of(small)
        assert heard == [] and session.facts.optimizer == "SGD", "what designs are made from is known before any plan"
        session.plan(lanes(2).planned(), Plan(3, 7), note="; so much")
        session.run(lanes(2))
        session.run(lanes(1))
        place.of(small.but(seed=1)).run(lanes(1))
    assert heard[0].startswith("at most 5 lanes and 15 gradient steps") and heard[0].endswith("; so much")
    assert heard[1:] == ["lane", "lane", "lane", "at most 1 lanes " + heard[4].split("lanes ", 1)[1], "lane"]
    assert "at most 1 lanes and 4 gradient steps" in heard[4], "of its first design"


def test_problems_share_the_store_and_each_counts_its_own_steps(small):
    with Workplace(Options(**QUIET)) as place:
        first, again, other = place.of(small), place.of(small), place.of(small.but(clip_grad_norm=1.0))
        first.run(lanes(3))
        again.run(lanes(4))
        other.run(lanes(1))
        new = [session.cost()["new_gradient_steps"] for session in (first, again, other)]
        assert new == [12, 4, 4], "three of the second's four were trained for the first"
        assert [s.cost()["gradient_steps"] for s in (first, again, other)] == [12, 16, 4]


def test_one_preflight_a_problem(small):
    made: list[int] = []

    def model() -> torch.nn.Module:
        made.append(1)
        return small.model()

    problem = small.but(model=model)
    with Workplace(Options(**QUIET)) as place:
        facts = place.of(problem).facts
        n = len(made)
        assert n > 0 and place.of(problem).facts is facts and len(made) == n


@pytest.mark.parametrize(("seconds", "steps", "tried"), [(0.05, 240, False), (0.05, 32_000, True), (0.001, 240, True)])
def test_engines_are_tried_where_that_can_pay(small, seconds: float, steps: int, tried: bool):
    """A slow step and few of them: one lane after the other at once; quick steps, or many, have their trial."""
    with Workplace(Options(**{**QUIET, "engine": "auto"})) as place:
        session = place.of(small)
        session.facts = replace(session.facts, seconds_per_step=seconds)
        session.plan(Plan(3, steps))
        choice = session.choice
        assert bool(choice.times or choice.refused) == tried
        if not tried:
            assert choice.engine == "sequential"
            session.run(lanes(1))
            assert session.runs[0].steps == 4


def test_worker_processes_of_one_problem_at_a_time_and_none_afterwards(small):
    with Workplace(Options(**{**QUIET, "workers": 2})) as place:
        first, second = place.of(small), place.of(small.but(seed=1))
        first.run(lanes(2))
        own = set(multiprocessing.active_children())
        assert 1 <= len(own) <= 2
        second.run(lanes(2), Forgetful())
        assert not own & set(multiprocessing.active_children())
        beside = second.beside(small.but(seed=2))
        assert beside.crew.at_once == 2 and beside.planned == second.planned
        first.run(FixedLanes([Lane(0.5, 0, 4)]))
    assert not multiprocessing.active_children()


def test_a_bad_problem_makes_no_store(small, tmp_path):
    with Workplace(Options(**{**QUIET, "store": tmp_path / "runs.db"})) as place:
        with pytest.raises(ProblemError, match="model"):
            place.of(small.but(model=lambda: None))
        assert not (tmp_path / "runs.db").exists()
        place.of(small).run(lanes(1))
        assert (tmp_path / "runs.db").exists()


def test_a_store_that_cannot_be_used_is_said_before_anything_else(small, tmp_path):
    (tmp_path / "runs.db").write_text("no database")
    with pytest.raises(StoreError, match=r"runs\.db"), Workplace(Options(store=tmp_path / "runs.db")):
        pytest.fail("it must not open")
