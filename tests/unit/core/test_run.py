"""The one loop: lanes are told complete and in the order asked, stored lanes are not trained, a time limit ends it."""

from __future__ import annotations

import pytest

import etastar
from etastar import Options, Runs, RunStore, Status
from etastar.core.deadline import Deadline
from etastar.core.design import run
from etastar.designs import EtaStar
from etastar.engine import LoopEngine
from etastar.engine.preflight import preflight
from etastar.problems import builder
from etastar.verbs.pace import Pace, TimeLeft


class Shuffled(LoopEngine):
    """Yields outcomes last lane first, as parallel workers may."""

    trained = 0

    def train(self, problem, lanes):
        for index, outcome in reversed(list(super().train(problem, lanes))):
            Shuffled.trained += 1
            yield index, outcome


@pytest.fixture(scope="module")
def known():
    problem = builder("noisy-quadratic")(steps=40)
    return problem, preflight(problem)


def make(known, engine):
    problem, facts = known
    store = RunStore(":memory:")
    store.register(problem, "f", facts.trace, {})
    told = []

    class Watched(EtaStar):
        def tell(self, outcomes):
            told.append([(o.lane.lr, o.lane.seed) for o in outcomes])
            super().tell(outcomes)

    asked = []

    class Asked(Watched):
        def ask(self):
            lanes = super().ask()
            if lanes:
                asked.append([(lane.lr, lane.seed) for lane in lanes])
            return lanes

    return Asked(facts.criterion, 40, 0.1), problem, engine, store, asked, told


def test_outcomes_are_told_in_the_order_asked_whatever_order_they_finish_in(known):
    design, problem, engine, store, asked, told = make(known, Shuffled())
    shuffled = run(design, problem, engine, store)
    assert asked == told and len(asked) >= 3
    before = Shuffled.trained
    again = run(EtaStar(design.criterion, 40, 0.1), problem, engine, store)
    assert again == shuffled and Shuffled.trained == before == shuffled.scan_runs + shuffled.refine_runs
    plain = make(known, LoopEngine())
    assert run(plain[0], problem, LoopEngine(), plain[3]).eta_star == shuffled.eta_star


def test_no_time_is_no_answer_and_says_so(known):
    design, problem, engine, store, asked, _ = make(known, LoopEngine())
    band = run(design, problem, engine, store, time=TimeLeft(Deadline(1.0, began=-9.0), Pace(problem, 1.0, 1), list))
    assert asked == [] and band.eta_star.status is Status.NOT_MEASURED and "stopped" in band.eta_star.reason


def test_progress_sees_every_batch(known):
    design, problem, engine, store, asked, _ = make(known, LoopEngine())
    seen: list[Runs] = []
    run(design, problem, engine, store, progress=seen.append)
    assert [len(r) for r in seen] == [len(a) for a in asked]
    assert sum(r.gradient_steps for r in seen) > 0


def test_a_time_limit_in_find_skips_what_has_not_begun(known):
    answer = etastar.find(known[0], options=Options(store=":memory:", workers=1, max_seconds=1e-3))
    assert answer.eta_star.status is Status.NOT_MEASURED and answer.end is None and not answer.lr.ok
