"""Two processes with one store, on both databases: whatever they do at once, what is stored is one truth, stored once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from etastar import Lane, Outcome, Problem, RunStore
from etastar.engine import LoopEngine
from etastar.problems import builder
from store_cases import FACTS, STABLE, TRACE, Counting, Says, lane, open_store, rows, together

WRITERS = 4


@pytest.fixture
def stores(url: str) -> Iterator[list[RunStore]]:
    with ExitStack() as opened:
        yield [opened.enter_context(closing(RunStore(url))) for _ in range(WRITERS)]


@pytest.fixture
def problems() -> list[Problem]:
    return [builder("noisy-quadratic")() for _ in range(WRITERS)]


def test_two_open_stores_can_both_write(url: str, noisy: Problem) -> None:
    one, two = lane(STABLE, seed=1), lane(STABLE, seed=2)
    with closing(open_store(url, noisy)) as a, closing(open_store(url, noisy)) as b:
        a.get_or_train(LoopEngine(), noisy, [one])
        b.get_or_train(LoopEngine(), noisy, [two])
        engine = Counting()
        for store in (a, b):
            assert len(store.get_or_train(engine, noisy, [one, two])) == 2
        assert engine.trained == []


def test_two_stores_can_train_the_same_lane_at_once(url: str, noisy: Problem) -> None:
    """The one that comes second is no error, and leaves one row."""
    with closing(open_store(url, noisy)) as a, closing(open_store(url, noisy)) as b:

        class Meanwhile(Counting):
            def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
                b.get_or_train(LoopEngine(), problem, lanes)
                yield from super().train(problem, lanes)

        a.get_or_train(Meanwhile(), noisy, [lane(STABLE)])
    assert rows(url, "SELECT count(*) FROM run") == [(1,)]
    assert rows(url, "SELECT count(*), count(DISTINCT step) FROM step") == [(20, 20)]


def test_new_problems_of_one_fingerprint_registered_by_two_stores_at_once_stay_apart(url: str, noisy: Problem) -> None:
    """An id made by counting rows would be given twice; both must be readable and different afterwards."""
    with closing(RunStore(url)) as a, closing(RunStore(url)) as b:
        ids = [a.register(noisy, "f" * 32, (1.0,), FACTS), b.register(noisy, "f" * 32, (2.0,), FACTS)]
        assert len(set(ids)) == 2
        assert [b.register(noisy, "f" * 32, (1.0,), FACTS), a.register(noisy, "f" * 32, (2.0,), FACTS)] == ids


def test_who_comes_second_is_told_what_is_stored(url: str, noisy: Problem) -> None:
    """Lanes near the edge are chaotic: outcomes of one lane may differ, and a mixture of two is neither."""
    asked = lane(STABLE, steps=7)
    (_, ours), = LoopEngine().train(noisy, [asked])  # fmt: skip
    shorter = replace(ours, steps=5, end_loss=9.0, trace=tuple(replace(s, loss=9.0) for s in ours.trace[:5]))
    with closing(open_store(url, noisy)) as a, closing(open_store(url, noisy)) as b:
        meanwhile = Says([ours], first=lambda: b.get_or_train(Says([shorter]), noisy, [asked]))
        (told,) = a.get_or_train(meanwhile, noisy, [asked])
        assert a.new_gradient_steps == 7
    assert told == shorter
    with closing(open_store(url, noisy)) as store:
        (stored,) = store.get_or_train(Says([]), noisy, [asked])
    assert stored == shorter


def test_a_store_can_be_made_by_many_at_once(url: str) -> None:
    def make(_: int) -> None:
        RunStore(url).close()

    together(make, WRITERS)
    assert rows(url, "SELECT key, value FROM store_info") == [("schema_version", "1")]


def test_a_store_can_be_made_while_another_looks_whether_it_is_there(url: str) -> None:
    """Looked at table by table, what another process makes meanwhile passed for a database that is not ours."""
    looked: list[str] = []

    def meanwhile(_connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
        looked.append(statement)
        if len(looked) == 1:
            RunStore(url).close()

    event.listen(sa.Engine, "after_cursor_execute", meanwhile)
    try:
        RunStore(url).close()
    finally:
        event.remove(sa.Engine, "after_cursor_execute", meanwhile)
    assert len(looked) > 1
    assert rows(url, "SELECT key, value FROM store_info") == [("schema_version", "1")]


def test_one_problem_registered_at_once_is_one(url: str, stores: list[RunStore], problems: list[Problem]) -> None:
    ids = together(lambda i: stores[i].register(problems[i], "f" * 32, TRACE, FACTS), WRITERS)
    assert len(set(ids)) == 1
    assert rows(url, "SELECT id FROM problem") == [(ids[0],)]


def test_problems_of_one_fingerprint_registered_at_once_stay_apart(stores: list[RunStore], problems: list[Problem]) -> None:
    ids = together(lambda i: stores[i].register(problems[i], "f" * 32, (float(i),), FACTS), WRITERS)
    assert [stores[0].register(problems[0], "f" * 32, (float(i),), FACTS) for i in range(WRITERS)] == ids
    assert len(set(ids)) == WRITERS


def test_all_are_told_the_engine_that_was_pinned_first(stores: list[RunStore], problems: list[Problem]) -> None:
    for store, problem in zip(stores, problems, strict=True):
        store.register(problem, "f" * 32, TRACE, FACTS)
    times = [{"times": {"loop": 1.5 * i}} for i in range(WRITERS)]
    pins = together(lambda i: stores[i].pin_engine(problems[i], "cpu", f"engine {i}", i, times[i]), WRITERS)
    later = stores[0].pinned_engine(problems[0], "cpu")
    elsewhere = stores[0].pinned_engine(problems[0], "cuda")
    first = pins[0]["chunk"]
    assert pins == [{"engine": f"engine {first}", "chunk": first, **times[first]}] * WRITERS
    assert later == pins[0]
    assert elsewhere is None
