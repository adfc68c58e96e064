"""Every option of every command with every kind of bad value, and users' files: one sentence, exit code 2, nothing left."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bad_inputs import options, problems
from bad_inputs.row import RIGHT, Row, judge

EVERY = 6
"""By default one in so many rows of the other commands is run, beside all of `find`; the whole table is slow."""
OPTIONS, FILES = options.rows(), problems.rows()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("etastar_user_"):
            del sys.modules[name]


def often() -> list[Row]:
    """The rows of the default tests."""
    return [*FILES, *(row for i, row in enumerate(OPTIONS) if row.arguments[0] == "find" or i % EVERY == 0)]


@pytest.mark.parametrize("row", often(), ids=lambda row: row.name)
def test_a_bad_input(row: Row) -> None:
    assert judge(row) == RIGHT


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 99 of 100 rows are right, and none ends in a traceback or hangs."""
    wrong: list[str] = []
    kinds: Counter[str] = Counter()
    for index, row in enumerate((*FILES, *OPTIONS)):
        folder = tmp_path / str(index)
        folder.mkdir()
        monkeypatch.chdir(folder)
        verdict = judge(row)
        kinds[verdict.partition(":")[0]] += 1
        wrong += [f"{row.name}: {verdict}"] if verdict != RIGHT else []
    with capsys.disabled():
        print(f"\n{kinds.total()} bad inputs: {dict(kinds)}", *wrong, sep="\n")
    assert kinds["traceback"] == kinds["hang"] == 0
    assert kinds[RIGHT] >= 0.99 * kinds.total()


def test_the_table_is_large() -> None:
    names = [row.name for row in (*OPTIONS, *FILES)]
    assert len(names) >= 2500
    assert len(often()) >= 500
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)[:5]


def test_every_option_is_in_the_table() -> None:
    """A new option or command fails here until the table knows what is no value of it."""
    commands = options.commands()
    assert set(commands) == set(options.BASE)
    assert {option for command in commands for option in options.valued(command)} == set(options.KINDS)


@pytest.mark.parametrize("command", list(options.BASE))
def test_the_base_of_every_row_is_right(command: str) -> None:
    """The control of the table: without the bad value nothing is refused before it is read."""
    assert options.parsers()[command].make_context(command, list(options.BASE[command])).params
