"""The store in a file, and in memory: the forms of its name, and what lies beside it."""

from __future__ import annotations

import gc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etastar import Problem, RunStore
from etastar.engine import LoopEngine
from store_cases import FACTS, STABLE, TRACE, Counting, lane, open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def test_a_store_in_memory_is_its_own(noisy: Problem) -> None:
    engine = Counting()
    for _ in range(2):
        with closing(RunStore(":memory:")) as store:
            store.register(noisy, "f" * 32, TRACE, FACTS)
            store.get_or_train(engine, noisy, [lane(STABLE)])
            store.get_or_train(engine, noisy, [lane(STABLE)])
    assert len(engine.trained) == 2


@pytest.mark.parametrize("form", [str, Path, "sqlite:///{}".format], ids=["text", "path", "url"])
def test_the_forms_of_a_file(path: Path, noisy: Problem, form: Any) -> None:
    with closing(RunStore(form(path))) as store:
        store.register(noisy, "f" * 32, TRACE, FACTS)
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE, steps=1)])
    with closing(RunStore(path)) as store:
        assert [row["lanes"] for row in store.summary()] == [1]


@pytest.mark.parametrize("name", ["with space.db", "with?question.db", "with#hash.db", "with%20percent.db", "ä.db"])
def test_odd_file_names(tmp_path: Path, noisy: Problem, name: str) -> None:
    for _ in range(2):
        with closing(open_store(tmp_path / name, noisy)) as store:
            store.get_or_train(LoopEngine(), noisy, [lane(STABLE, steps=1)])
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_the_folder_of_the_default_store_is_ignored_by_git(tmp_path: Path) -> None:
    with closing(RunStore(tmp_path / ".etastar" / "runs.db")):
        assert (tmp_path / ".etastar" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_store_that_is_let_go_of_lets_go_of_its_file(tmp_path, in_memory):
    """Python 3.13 and later warn of a connection that is only collected."""
    store = RunStore(":memory:" if in_memory else tmp_path / "runs.db")
    engine = store._database._engine
    pool = engine.pool
    del store
    gc.collect()
    assert engine.pool is not pool, "disposed of"
