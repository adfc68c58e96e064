"""What only a server can do: be away, refuse, hold other tables, go in mid-run; and passwords, which nobody may print."""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli_harness import Ran, run_here
from etastar import Lane, Outcome, Problem, RunStore, StoreError
from etastar.engine import LoopEngine
from etastar.errors import MissingExtra
from etastar.problems import builder
from etastar.store import run_store as store_module
from etastar.store.database import Database
from etastar.store.patience import Patience
from etastar.store.postgres import CONNECTION
from postgres_server import Server
from processes import PATIENCE
from store_cases import FACTS, STABLE, TRACE, Counting, Says, lane, open_store, rows, together

FIND = ("find", "quadratic", "--set", "steps=20", "--effort", "glance", "--engine", "loop")
SECRET = "open sesame"


@pytest.fixture
def noisy() -> Problem:
    return builder("noisy-quadratic")()


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(ran: Ran, *fragments: str) -> None:
    assert ran.code == 2, ran
    assert ran.out == ""
    for fragment in (*fragments, "--store"):
        assert fragment in ran.sentence
    assert "sesame" not in ran.sentence


# -- the command line --------------------------------------------------------------------------------------------------


def test_find_and_runs(postgres_url: str, postgres_server: Server) -> None:
    first, again = (run_here(*FIND, "--store", postgres_url, "--json", "-") for _ in range(2))
    assert (first.code, again.code) == (0, 0), first.err
    one, two = json.loads(first.out), json.loads(again.out)
    assert one["eta_star"] == two["eta_star"]
    assert one["cost"]["new_gradient_steps"] > 0 == two["cost"]["new_gradient_steps"]
    ran = run_here("runs", "--store", postgres_url, "--json", "-")
    (row,) = json.loads(ran.out)["problems"]
    assert type(row["gradient_steps"]) is int, "PostgreSQL's sum of integers is a decimal"
    assert row["gradient_steps"] == one["cost"]["new_gradient_steps"]
    assert run_here("runs", "--store", postgres_url).code == 0
    assert not list(Path().iterdir()), "nothing is written beside it"


@pytest.mark.parametrize("kind", ["postgresql", "postgres"])
def test_a_url_without_a_driver_means_psycopg(postgres_url: str, kind: str) -> None:
    RunStore(postgres_url.replace("postgresql+psycopg", kind)).close()
    assert rows(postgres_url, "SELECT key FROM store_info") == [("schema_version",)]


def test_runs_without_a_store(postgres_url: str) -> None:
    refused(run_here("runs", "--store", postgres_url), "there is no store postgresql+psycopg://team@", "etastar find")
    assert rows(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname='public'") == [], "looking creates nothing"


def test_runs_by_somebody_who_may_only_read(postgres_url: str, postgres_server: Server) -> None:
    RunStore(postgres_url).close()
    database = postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database)
    url = postgres_server.url(database, user="reader")
    ran = run_here("runs", "--store", url)
    assert (ran.code, ran.err) == (0, "")
    refused(run_here(*FIND, "--store", url), "permission denied", "your rights")


# -- what cannot be reached --------------------------------------------------------------------------------------------


def test_no_server() -> None:
    for verb in (FIND, ("runs",)):
        url = f"postgresql://team:{SECRET}@127.0.0.1:1/runs".replace(" ", "%20")
        refused(run_here(*verb, "--store", url), "postgresql+psycopg://team:***@127.0.0.1:1/runs", "port 1", "refused")


def test_a_server_that_says_nothing() -> None:
    """Somebody else's service, or a firewall: the sentence comes within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/runs"
        refused(run_here("runs", "--store", f"{url}?connect_timeout=2"), "timeout expired")
    assert CONNECTION["connect_timeout"] <= 5, "seconds, where the URL says nothing"


def test_a_database_that_is_not_there(postgres_server: Server) -> None:
    refused(run_here("runs", "--store", postgres_server.url("nosuch")), '"nosuch" does not exist', "check")


def test_a_wrong_password(postgres_server: Server) -> None:
    url = postgres_server.url("postgres", user="locked:open%20barley")
    ran = run_here("runs", "--store", url)
    refused(ran, "locked:***@", "password authentication failed")
    assert "barley" not in ran.err


@pytest.mark.parametrize("form", ["locked:open%20sesame@", "locked@"], ids=["as usual", "as a parameter"])
def test_the_right_password_is_not_shown(postgres_server: Server, form: str) -> None:
    database = postgres_server.new_database()
    RunStore(postgres_server.url(database)).close()
    postgres_server.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO locked", database)
    url = postgres_server.url(database).replace("team@", form) + ("" if ":" in form else "&password=open%20sesame")
    ran = run_here("runs", "--store", url, "--json", "-")
    assert ran.code == 0, ran.err
    assert "sesame" not in ran.out + ran.err
    assert "***" in json.loads(ran.out)["store"]


MALFORMED = {
    "an @ in the password": ("postgresql://team:ses@me@host/runs", ["two @", "%40"]),
    "a port that is a word": ("postgresql://team:ses@host:port/runs", ["cannot be read", "user@host/database"]),
    "another driver": ("postgresql+psycopg2://team:ses@host/runs", ["'postgresql+psycopg2'", "postgresql+psycopg://"]),
    "an option that is none": ("postgresql://team:ses@127.0.0.1:1/runs?colour=red", ["colour"]),
}


@pytest.mark.parametrize(("url", "fragments"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_url(url: str, fragments: list[str]) -> None:
    ran = run_here("runs", "--store", url)
    assert ran.code == 2
    assert all(fragment in ran.sentence for fragment in fragments), ran.sentence
    assert "ses@" not in ran.err and ":ses" not in ran.err


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"psycopg 3; pip install 'etastar\[postgres\]'"):
        RunStore("postgresql://127.0.0.1:1/runs")


# -- what is there already ---------------------------------------------------------------------------------------------

OTHERS = {
    "somebody else's table": (["CREATE TABLE run (id int)"], "has a table 'run' but is not an etastar store"),
    "somebody else's settings": (
        ["CREATE TABLE store_info (key text, value text)", "CREATE TABLE run (id int)"],
        "has a table 'store_info' but is not an etastar store",
    ),
}


@pytest.mark.parametrize(("commands", "says"), OTHERS.values(), ids=OTHERS.keys())
def test_a_database_with_other_tables_is_left_untouched(
    postgres_url: str, postgres_server: Server, commands: list[str], says: str
) -> None:
    database = postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.sql(";".join(commands), database, user="team")
    tables = rows(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname='public' ORDER BY 1")
    refused(run_here(*FIND, "--store", postgres_url), says, "left as it is")
    assert rows(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname='public' ORDER BY 1") == tables


def test_tables_of_other_names_do_not_matter(postgres_url: str, postgres_server: Server) -> None:
    postgres_server.sql("CREATE TABLE invoice (id int)", postgres_url.partition("@/")[2].partition("?")[0])
    RunStore(postgres_url).close()


@pytest.mark.parametrize(("version", "says"), [("999", "newer etastar (schema 999"), ("two", "'two', which is none")])
def test_another_version(postgres_url: str, postgres_server: Server, version: str, says: str) -> None:
    RunStore(postgres_url).close()
    database = postgres_url.partition("@/")[2].partition("?")[0]
    postgres_server.sql(f"UPDATE store_info SET value='{version}'", database)
    for verb in (FIND, ("runs",)):
        refused(run_here(*verb, "--store", postgres_url), says)
    assert rows(postgres_url, "SELECT value FROM store_info") == [(version,)]


# -- in mid-run --------------------------------------------------------------------------------------------------------


class Interrupted(Counting):
    """Trains; after `after` lanes something happens to the server."""

    def __init__(self, after: int, happens: Any) -> None:
        super().__init__()
        self._after, self._happens = after, happens

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for index, outcome in super().train(problem, lanes):
            yield index, outcome
            if len(self.trained) == self._after:
                self._happens()


def test_a_connection_that_was_cut_between_two_saves_is_made_again(
    postgres_server: Server, noisy: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "SAVE_EVERY", 0.0)
    database, cut = postgres_server.new_database(), []
    with closing(open_store(postgres_server.url(database), noisy)) as store:
        engine = Interrupted(1, lambda: cut.append(postgres_server.cut(database)))
        store.get_or_train(engine, noisy, [lane(STABLE, seed=s) for s in range(3)])
    assert cut[0] >= 1
    assert rows(postgres_server.url(database), "SELECT count(*) FROM run") == [(3,)]


def test_a_server_that_goes_in_mid_run(postgres_server: Server, noisy: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was saved is kept, what was not waits in a file, and the same command goes on from there."""
    monkeypatch.setattr(store_module, "SAVE_EVERY", 0.0)
    database = postgres_server.new_database()
    url, lanes = postgres_server.url(database), [lane(STABLE, seed=s) for s in range(5)]

    def leave() -> None:
        monkeypatch.setattr(store_module, "SAVE_EVERY", 1e9)
        postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        postgres_server.cut(database)

    with (
        closing(RunStore(url, patience=Patience(at_most=0))) as store,
        pytest.raises(StoreError, match=r"not currently accepting.*\(3 lanes trained since the last save kept in "),
    ):
        store.register(noisy, "f" * 32, TRACE, FACTS)
        store.get_or_train(Interrupted(2, leave), noisy, lanes)
    postgres_server.sql(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    engine = Counting()
    with closing(open_store(url, noisy)) as store:
        assert [o.lane for o in store.get_or_train(engine, noisy, lanes)] == lanes
    assert engine.trained == []


def test_a_connection_cut_in_the_middle_of_a_save(postgres_server: Server, noisy: Problem) -> None:
    """Half of a lane is never stored: the save waits for a table that somebody holds, and is cut while it waits."""
    database = postgres_server.new_database()
    url = postgres_server.url(database)
    waiting = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type='Lock' AND datname='{database}'"
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(closing(RunStore(url, patience=Patience(at_most=0))))
        store.register(noisy, "f" * 32, TRACE, FACTS)
        holder = stack.enter_context(closing(postgres_server.connect(database)))
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE step IN SHARE MODE")

        def cut() -> None:
            deadline = time.monotonic() + PATIENCE
            while not postgres_server.sql(waiting) and time.monotonic() < deadline:
                time.sleep(0.01)

        thread = threading.Thread(target=cut)
        (_, outcome), = LoopEngine().train(noisy, [lane(STABLE)])  # fmt: skip
        thread.start()
        with pytest.raises(
            StoreError, match=r"(terminating|closed the) connection.*\(1 lane trained since the last save kept in "
        ):
            store.get_or_train(Says([outcome]), noisy, [lane(STABLE)])
        thread.join()
    assert rows(url, "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM step)") == [(0, 0)]


def test_lanes_saved_in_opposite_orders_at_once(postgres_url: str) -> None:
    """Rows locked in the order in which lanes finish would let two writers wait for each other until one is refused."""
    writers, many = 2, 1500
    problems = [builder("noisy-quadratic")() for _ in range(writers)]
    (_, outcome), = LoopEngine().train(problems[0], [lane(STABLE, steps=3)])  # fmt: skip
    outcomes = [replace(outcome, lane=lane(STABLE, seed=s, steps=3), trace=(), epochs=()) for s in range(many)]
    asked, all_found_none = [o.lane for o in outcomes], threading.Barrier(writers)

    def train(index: int) -> Any:
        engine = Says(outcomes[:: 1 if index else -1], first=lambda: all_found_none.wait(timeout=PATIENCE))
        with closing(RunStore(postgres_url)) as store:
            store.register(problems[index], "f" * 32, TRACE, FACTS)
            return store.get_or_train(engine, problems[index], asked)

    assert all(list(runs) == outcomes for runs in together(train, writers))
    assert rows(postgres_url, "SELECT count(*) FROM run") == [(many,)]


def test_a_fork_that_lets_go_of_a_database_leaves_its_parents_connection_alone(postgres_url):
    """A loader's workers are forks, which end with whatever they inherited."""
    own = [Database(postgres_url)]
    with own[0].transaction() as connection:
        before = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    child = multiprocessing.get_context("fork").Process(target=_let_go_of, args=(own,))
    child.start()
    child.join(60)
    with closing(own[0]) as database, database.transaction() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == before
    assert child.exitcode == 0


def _let_go_of(databases):
    databases.clear()
    gc.collect()
