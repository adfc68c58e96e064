"""Rows that somebody changed by hand, or tables that were dropped: one sentence that names them, never a silent answer."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli_harness import Ran, run_here
from etastar import RunStore, StoreError
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.problems import builder
from postgres_server import Server
from store_cases import FACTS, STABLE, TRACE, Counting, lane, open_store, rows

FIND = ("find", "quadratic", "--set", "steps=20", "--effort", "glance", "--engine", "auto")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with the lanes of one find in it."""
    path = tmp_path_factory.mktemp("filled") / "r.db"
    assert run_here(*FIND, "--store", path).code == 0
    return path.read_bytes()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: bytes) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("r.db").write_bytes(filled)
    return Path("r.db")


def sql(path: Path, *commands: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for command in commands:
            connection.execute(command)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def made_before_tables_were_strict(path: Path) -> None:
    """The same store in the words of the first one: no STRICT, no CHECK, other names of types."""
    with closing(sqlite3.connect(path)) as connection:
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall())
        for name, made in tables.items():
            old = re.sub(r",\s*CONSTRAINT \w+ CHECK \([^()]*(\([^()]*\))?[^()]*\)", "", made).replace("STRICT", "")
            old = re.sub(r"\bREAL\b", "FLOAT", re.sub(r"\bINTEGER\b", "BIGINT", re.sub(r"\bTEXT\b", "VARCHAR", old)))
            assert "CHECK" not in old and old != made
            connection.execute(old.replace(f"TABLE {name}", f"TABLE old_{name}", 1))
            connection.execute(f"INSERT INTO old_{name} SELECT * FROM {name}")
            connection.execute(f"DROP TABLE {name}")
            connection.execute(f"ALTER TABLE old_{name} RENAME TO {name}")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def refused(ran: Ran, *fragments: str) -> None:
    assert (ran.code, ran.out) == (2, ""), ran
    for fragment in (*fragments, "r.db"):
        assert fragment in ran.sentence, ran.sentence
    assert "\n" not in ran.sentence and "--store" in ran.sentence


CHANGES = {
    "a status": ("UPDATE run SET status = 'exploded'", ["status 'exploded'", "'run'", "expected one of", "diverged"]),
    "an until": ("UPDATE run SET until = 'doomsday'", ["until 'doomsday'", "'run'", "expected one of end, success"]),
    "a trace": ("UPDATE problem SET trace = '[1, 2'", ["'[1, 2'", "'problem'", "a list of numbers in JSON"]),
    "a trace of words": ("UPDATE problem SET trace = '[1, \"a\"]'", ["'problem'", "a list of numbers in JSON"]),
    "facts": ("UPDATE problem SET facts = '[]'", ["'[]'", "'problem'", "an object in JSON"]),
    "an engine's facts": ("UPDATE engine_choice SET facts = '{'", ["'{'", "'engine_choice'", "an object in JSON"]),
}


@pytest.mark.parametrize(("command", "fragments"), CHANGES.values(), ids=CHANGES.keys())
def test_an_unknown_word_or_broken_json(store: Path, command: str, fragments: list[str]) -> None:
    sql(store, command)
    refused(run_here(*FIND, "--store", store), *fragments)


@pytest.mark.parametrize("change", ["a status", "facts"])
def test_runs_says_it_too(store: Path, change: str) -> None:
    command, fragments = CHANGES[change]
    sql(store, command)
    refused(run_here("runs", "--store", store), *fragments)


NUMBERS = {
    "a rate": ("UPDATE run SET lr = 'fast'", "lr 'fast' in row"),
    "a count": ("UPDATE run SET steps = 'many'", "steps 'many' in row"),
    "a loss": ("UPDATE run SET end_loss = 'low'", "end_loss 'low' in row"),
    "a step's loss": ("UPDATE step SET loss = 'low'", "loss 'low' in row"),
    "an epoch's mean": ("UPDATE epoch SET loss_mean = 'low'", "loss_mean 'low' in row"),
}


@pytest.mark.parametrize(("command", "says"), NUMBERS.values(), ids=NUMBERS.keys())
def test_words_in_place_of_numbers(store: Path, command: str, says: str) -> None:
    """A strict table does not take them; an older one does, and they are refused when they are read."""
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in"):
        sql(store, command)
    made_before_tables_were_strict(store)
    sql(store, command)
    refused(run_here(*FIND, "--store", store), says, "expected a")


def test_runs_shows_no_words_for_numbers(store: Path) -> None:
    made_before_tables_were_strict(store)
    sql(store, NUMBERS["a rate"][0])
    refused(run_here("runs", "--store", store), "lr 'fast'", "expected a number")


def test_an_older_store_is_used_as_it_is(store: Path) -> None:
    made_before_tables_were_strict(store)
    before = rows(f"sqlite:///{store}", "SELECT name, sql FROM sqlite_master")
    ran = run_here(*FIND, "--store", store)
    assert ran.code == 0 and "(0 trained now" in ran.out, ran
    assert rows(f"sqlite:///{store}", "SELECT name, sql FROM sqlite_master") == before
    assert run_here("runs", "--store", store).code == 0


CHECKED = [
    "UPDATE run SET status = 'exploded'",
    "UPDATE run SET until = 'doomsday'",
    "UPDATE run SET steps = -1",
    "UPDATE run SET planned_steps = -1",
    "UPDATE run SET reached = -1",
    "UPDATE epoch SET step0 = -1",
    "UPDATE step SET step = -step - 1",
]


@pytest.mark.parametrize("command", CHECKED)
def test_a_new_store_takes_no_impossible_row(store: Path, command: str) -> None:
    with (
        closing(sqlite3.connect(store)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"),
    ):
        connection.execute(command)


def test_every_word_there_is_may_be_stored(tmp_path: Path) -> None:
    problem = builder("noisy-quadratic")()
    lanes = [lane(STABLE, steps=3, until=until) for until in Until] + [lane(1e8, steps=300)]
    with closing(open_store(tmp_path / "r.db", problem)) as opened:
        opened.get_or_train(LoopEngine(), problem, lanes)
        engine = Counting()
        opened.get_or_train(engine, problem, lanes)
    assert engine.trained == []


@pytest.mark.parametrize("table", ["step", "epoch", "run", "problem"])
@pytest.mark.parametrize("verb", [FIND, ("runs",)], ids=["find", "runs"])
def test_a_table_that_was_dropped_is_not_silently_made_again(store: Path, table: str, verb: tuple[str, ...]) -> None:
    sql(store, f"DROP TABLE {table}")
    before = store.read_bytes()
    refused(run_here(*verb, "--store", store), f"has lost its table {table!r}", "restore a copy")
    assert store.read_bytes() == before


def test_nor_on_a_server(postgres_server: Server) -> None:
    database = postgres_server.new_database()
    RunStore(postgres_server.url(database)).close()
    postgres_server.sql("DROP TABLE step", database)
    with pytest.raises(StoreError, match=r"has lost its table 'step'; restore a copy"):
        RunStore(postgres_server.url(database))


def test_a_table_that_came_later_is_added(store: Path) -> None:
    sql(store, "DROP TABLE engine_choice")
    assert run_here(*FIND, "--store", store).code == 0
    assert rows(f"sqlite:///{store}", "SELECT count(*) FROM engine_choice") == [(1,)]


@pytest.mark.parametrize("change", ["engine = 'warp'", "engine = 'auto'", "facts = '{}'"])
def test_a_choice_of_engine_that_was_changed(store: Path, change: str) -> None:
    sql(store, f"UPDATE engine_choice SET {change}")
    refused(run_here(*FIND, "--store", store), "engine_choice")


def test_the_same_on_a_server(postgres_server: Server) -> None:
    database, problem = postgres_server.new_database(), builder("noisy-quadratic")()
    with closing(open_store(postgres_server.url(database), problem)) as opened:
        opened.get_or_train(LoopEngine(), problem, [lane(STABLE, steps=3)])
        postgres_server.sql("UPDATE problem SET trace = 'nonsense'", database)
        with pytest.raises(
            StoreError, match=r"holds 'nonsense' in row .* of table 'problem'; expected a list of numbers in JSON"
        ):
            opened.register(builder("noisy-quadratic")(), "f" * 32, TRACE, FACTS)
