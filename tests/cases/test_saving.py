"""A store that is locked or away for a while loses no lane: saving is tried again, and what is left waits in a file."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.event import listen

from cli_harness import run_here
from etastar import Lane, Outcome, Problem, RunStore, StoreError
from etastar.engine import LoopEngine
from etastar.problems import builder
from etastar.store import run_store as store_module
from etastar.store.patience import Patience, StoreAway
from postgres_server import Server
from store_cases import FACTS, STABLE, TRACE, Counting, lane, rows, same


@pytest.fixture
def noisy() -> Problem:
    return builder("noisy-quadratic")()


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Clock:
    """Time that passes only while somebody sleeps; `at` says what happens after so many seconds of sleep."""

    def __init__(self, at: dict[float, Callable[[], Any]] | None = None) -> None:
        self.now, self.at, self.said, self.pauses = 0.0, dict(at or {}), list[str](), list[float]()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        for moment in [m for m in self.at if m <= self.now]:
            self.at.pop(moment)()

    def patience(self, **changes: Any) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now, say=self.said.append, **changes)


class Then(Counting):
    """Trains; after `after` lanes something happens."""

    def __init__(self, after: int, happens: Callable[[], Any]) -> None:
        super().__init__()
        self._after, self._happens = after, happens

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for index, outcome in super().train(problem, lanes):
            if len(self.trained) == self._after:
                self._happens()
            yield index, outcome


def opened(url: str | Path, problem: Problem, clock: Clock, **changes: Any) -> RunStore:
    store = RunStore(url, patience=clock.patience(**changes))
    store.register(problem, "f" * 32, TRACE, FACTS)
    return store


def impatient(store: RunStore) -> None:
    """SQLite itself waits for 30 s; not in these tests."""

    def soon(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 50")

    engine = store._database._engine
    listen(engine, "connect", soon)
    engine.dispose()


class Holder:
    """Somebody else who holds SQLite's only lock."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def lock(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def free(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


LANES = [lane(STABLE, seed=s, steps=5) for s in range(5)]

# -- waiting -----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_locked_for_a_minute_loses_nothing(noisy: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "SAVE_EVERY", 0.0)
    RunStore("r.db").close()
    with closing(Holder(Path("r.db"))) as holder:
        clock = Clock({60: holder.free})
        with closing(opened("r.db", noisy, clock)) as store:
            impatient(store)
            engine = Then(3, holder.lock)
            assert [o.lane for o in store.get_or_train(engine, noisy, LANES)] == LANES
    assert rows("sqlite:///r.db", "SELECT count(*), count(DISTINCT seed) FROM run") == [(5, 5)]
    assert engine.trained == LANES, "each lane once"
    assert clock.pauses == [1, 2, 4, 8, 16, 30]
    (said,) = clock.said
    assert said == "the store r.db is away (database is locked); trying again for up to 5 min, nothing is lost meanwhile"
    assert not list(Path().glob("*.jsonl"))


def test_a_server_that_is_restarted_loses_nothing(
    postgres_server: Server, noisy: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as one database is concerned: every connection is cut, and none is let in for a while."""
    monkeypatch.setattr(store_module, "SAVE_EVERY", 0.0)
    database = postgres_server.new_database()

    def leave() -> None:
        postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.cut(database)

    clock = Clock({2: lambda: postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")})
    with closing(opened(postgres_server.url(database), noisy, clock)) as store:
        store.get_or_train(Then(3, leave), noisy, LANES)
    assert rows(postgres_server.url(database), "SELECT count(*), count(DISTINCT seed) FROM run") == [(5, 5)]
    assert len(clock.said) == 1 and "is away" in clock.said[0]


def test_a_save_that_was_done_although_the_connection_was_lost_is_not_done_twice(noisy: Problem) -> None:
    """The server's answer got lost: nobody knows whether the lanes are there, and they are."""
    clock = Clock()
    with closing(opened("r.db", noisy, clock)) as store:
        save, lost = store._saving.save, [True]

        def answer_gets_lost(parcels: Any) -> set[str]:
            new = save(parcels)
            if lost.pop() if lost else False:
                raise StoreAway("the connection is lost", "gone")
            return new

        store._saving.save = answer_gets_lost
        runs = store.get_or_train(LoopEngine(), noisy, LANES)
        assert [o.lane for o in runs] == LANES
    assert rows("sqlite:///r.db", "SELECT count(*) FROM run") == [(5,)]


def test_reading_waits_too(noisy: Problem) -> None:
    clock, answers = Clock(), [StoreAway("a", "a"), 7]

    def work() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert clock.patience().wait_for(work, "x") == 7
    assert clock.pauses == [1]


def test_what_will_not_pass_is_not_waited_for(noisy: Problem) -> None:
    clock = Clock()
    with closing(opened("r.db", noisy, clock)) as store:
        store.get_or_train(LoopEngine(), noisy, LANES[:1])
        with closing(sqlite3.connect("r.db")) as other:
            other.execute("DROP TABLE step")
        with pytest.raises(StoreError, match=r"no such table: step"):
            store.get_or_train(LoopEngine(), noisy, LANES)
    assert clock.pauses == []


# -- the file of what is left ------------------------------------------------------------------------------------------


def given_up(noisy: Problem, odd: bool = False) -> tuple[Path, list[Outcome]]:
    """A file that stays locked for ever: what was trained is in the file beside it."""
    RunStore("r.db").close()
    clock, trained = Clock(), list[Outcome]()
    with closing(Holder(Path("r.db"))) as holder, closing(opened("r.db", noisy, clock)) as store:
        impatient(store)

        class Odd(Then):
            def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
                for index, outcome in super().train(problem, lanes):
                    shown = outcome
                    if odd:
                        last = replace(outcome.trace[-1], loss=math.inf, grad_norm=-math.inf)
                        shown = replace(outcome, first_loss=math.nan, end_loss=math.inf, trace=(*outcome.trace[:-1], last))
                    trained.append(shown)
                    yield index, shown

        with pytest.raises(StoreError, match=r"database is locked.*\(5 lanes trained since the last save kept in "):
            store.get_or_train(Odd(1, holder.lock), noisy, LANES)
        assert 300 <= clock.now < 400
        holder.free()
    (path,) = Path().glob("r.db-unsaved-*.jsonl")
    return path, trained


def test_what_was_given_up_is_taken_in_when_the_store_is_opened_again(noisy: Problem) -> None:
    path, trained = given_up(noisy, odd=True)
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
    clock, engine = Clock(), Counting()
    with closing(opened("r.db", noisy, clock)) as store:
        assert clock.said == [f"5 lanes that waited in {path.name} are in the store now"]
        stored = store.get_or_train(engine, noisy, LANES)
    assert engine.trained == []
    assert all(same(a, b) for a, b in zip(trained, stored, strict=True)), "to the last bit, infinities and NaN included"
    assert not path.exists()


def test_lanes_that_were_stored_meanwhile_stay_as_they_are(noisy: Problem) -> None:
    path, _ = given_up(noisy)
    kept = path.read_bytes()
    RunStore("r.db", patience=Clock().patience()).close()
    path.write_bytes(kept)
    RunStore("r.db", patience=Clock().patience()).close()
    assert not path.exists()
    assert rows("sqlite:///r.db", "SELECT count(*) FROM run") == [(5,)]
    assert rows("sqlite:///r.db", "SELECT count(*) FROM step") == [(25,)]


def test_a_new_store_of_that_name_gets_the_problem_too(noisy: Problem) -> None:
    path, _ = given_up(noisy)
    for old in Path().glob("r.db*"):
        if old != path:
            old.unlink()
    ran = run_here("runs", "--store", "r.db", "--json", "-")
    assert ran.code == 2, "there is no store yet"
    with closing(RunStore("r.db", patience=Clock().patience())) as store:
        assert [row["lanes"] for row in store.summary()] == [5]


SPOILT = {
    "a number that was changed": lambda text: text.replace("0.1,", "0.2,", 1),
    "half of it": lambda text: text[: len(text) // 2],
    "something else": lambda text: "no JSON\n",
    "a list": lambda text: "[1, 2]\n",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_that_is_not_as_it_was_written_is_left_with_a_sentence(noisy: Problem, spoil: Callable[[str], str]) -> None:
    path, _ = given_up(noisy)
    path.write_text(spoil(path.read_text()))
    left = path.read_bytes()
    clock = Clock()
    RunStore("r.db", patience=clock.patience()).close()
    (said,) = clock.said
    assert path.name in said and "is not as it was written" in said and "left as it is" in said
    assert path.read_bytes() == left
    assert rows("sqlite:///r.db", "SELECT count(*) FROM run") == [(0,)]


def test_an_interrupted_run_whose_store_is_locked_keeps_its_lanes_and_stays_interrupted(noisy: Problem) -> None:
    RunStore("r.db").close()
    clock = Clock()

    def interrupt() -> None:
        holder.lock()
        raise KeyboardInterrupt

    with closing(Holder(Path("r.db"))) as holder, closing(opened("r.db", noisy, clock)) as store:
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            store.get_or_train(Then(3, interrupt), noisy, LANES)
        holder.free()
    assert clock.pauses == [], "who ends does not wait for minutes"
    (said,) = clock.said
    assert said.startswith("2 lanes trained since the last save kept in ")
    assert len(list(Path().glob("r.db-unsaved-*.jsonl"))) == 1


def test_lanes_of_a_server_wait_in_the_current_folder(postgres_server: Server, noisy: Problem) -> None:
    database, clock = postgres_server.new_database(), Clock()
    url = postgres_server.url(database)

    def leave() -> None:
        postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.cut(database)

    with closing(opened(url, noisy, clock)) as store, pytest.raises(StoreError, match=r"5 lanes .* kept in .*\.etastar/"):
        store.get_or_train(Then(1, leave), noisy, LANES)
    postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    RunStore(postgres_server.url(postgres_server.new_database())).close()
    assert len(list(Path(".etastar").glob("*.jsonl"))) == 1, "another store does not take them"
    RunStore(url, patience=clock.patience()).close()
    assert rows(url, "SELECT count(*) FROM run") == [(5,)]
    assert not list(Path(".etastar").glob("*.jsonl"))


def test_a_study_waits_for_its_server_and_holds_each_trial_once(postgres_server: Server) -> None:
    optuna = pytest.importorskip("optuna")
    from etastar.store.optuna_study import SEARCH, TRIAL, OptunaRecord

    rate = {"lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)}
    trials = [
        optuna.create_trial(params={"lr": lr}, distributions=rate, value=lr, user_attrs={TRIAL: i})
        for i, lr in enumerate((0.1, 0.2, 0.3))
    ]
    database = postgres_server.new_database()
    clock = Clock({2: lambda: postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")})
    with closing(OptunaRecord(postgres_server.url(database), "s", {SEARCH: "a"}, patience=clock.patience())) as record:
        record.add(trials[:1])
        postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.cut(database)
        record.add(trials[1:])
    assert clock.pauses[:2] == [1, 2] and "is away" in clock.said[0]
    held = f"SELECT value_json FROM trial_user_attributes WHERE key = '{TRIAL}' ORDER BY trial_id"
    assert rows(postgres_server.url(database), held) == [("0",), ("1",), ("2",)]


def test_memory_has_no_file(noisy: Problem) -> None:
    with closing(opened(":memory:", noisy, Clock())) as store:
        store.get_or_train(LoopEngine(), noisy, LANES)
    assert not list(Path().iterdir())
