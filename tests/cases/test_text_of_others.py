"""Labels, group names and choices are shown as they are written: no markup, no command to the terminal, no reordering."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from cli_harness import HEADER, Ran, run_here
from etastar.cli.plain import new_table, plain

QUICK = ("--effort", "glance", "--engine", "loop", "--store", "runs.db")
HOSTILE = "[/x] [bold]loud[/bold] \x1b[2J\x1b]0;title\x07 \u202egnp\u2066 \x9b31m end"
SHOWN = "[/x] [bold]loud[/bold] [2J]0;title gnp 31m end"

Write = Callable[..., None]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes user.py in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(body: str) -> None:
        Path("user.py").write_text(HEADER + body)
        sys.modules.pop("user", None)

    return write


def harmless(ran: Ran) -> str:
    assert ran.code in (0, 1), ran.err
    said = ran.out + ran.err
    assert "\x1b" not in said and "\x9b" not in said and "\u202e" not in said and "\u2066" not in said
    return said


def test_a_label_in_a_shared_store_breaks_runs_for_nobody(user: Write) -> None:
    user(f"p = flat(label={HOSTILE!r})")
    assert SHOWN in harmless(run_here("find", "user.py:p", *QUICK))
    assert "[/x] [bold]loud[/bold]" in harmless(run_here("runs", "--store", "runs.db"))


def test_a_store_whose_file_has_markup_in_its_name(user: Write) -> None:
    user("p = flat()")
    assert run_here("find", "user.py:p", *QUICK[:4], "--store", "[red].db").code == 1
    assert "[red].db" in harmless(run_here("runs", "--store", "[red].db"))


def test_the_title_of_a_diagnosis(user: Write) -> None:
    user(f"p = problem(label={HOSTILE!r})")
    assert SHOWN in harmless(run_here("doctor", "user.py:p"))


def test_the_names_of_parameter_groups(user: Write) -> None:
    user(
        "def groups(m):\n"
        "    named = [{'params': [m.weight], 'name': '[/w]'}, {'params': [m.bias], 'name': '[b]\\x1b[1m'}]\n"
        "    return torch.optim.SGD(named, lr=0.1)\n"
        "p = problem(optimizer=groups, steps=60)\n"
    )
    said = harmless(run_here("find", "user.py:p", *QUICK))
    assert "[/w]" in said and "[b][1m" in said


def test_the_choices_of_a_search(user: Write) -> None:
    pytest.importorskip("optuna")
    user("def p(kind='[/x]'):\n    return problem(steps=20)\n")
    Path("space.toml").write_text("[lr]\nlow = 0.01\nhigh = 1.0\n[kind]\nchoices = ['[/x]', '[bold]y[/bold]']\n")
    ran = run_here(
        "search", "user.py:p", "--space", "space.toml", "--sampler", "random", "--trials", "4", "--store", "runs.db",
        "--engine", "loop", "--report", "page",
    )  # fmt: skip
    said = harmless(ran)
    assert "[/x]" in said or "[bold]y[/bold]" in said
    assert Path("page/index.html").exists()


def test_what_is_said_of_a_mistake(user: Write) -> None:
    user("p = problem()")
    ran = run_here("find", "user\x1b[31m\u202e.py:p", *QUICK)
    assert ran.code == 2
    assert r"'user\x1b[31m\u202e.py'" in ran.sentence  # quoted, so that it can be seen
    assert "\x1b" not in ran.err and "\u202e" not in ran.err


@pytest.mark.parametrize("place", ["title", "column", "cell"])
def test_every_part_of_a_table_is_text(place: str) -> None:
    words = {"title": None, "column": "c", "cell": "a cell of some length"} | {place: "[/q][i]z\x1b[0m"}
    table = new_table(words["title"], (str(words["column"]),))
    table.add_row(words["cell"])
    out = io.StringIO()
    RichConsole(file=out, width=80).print(table)
    assert "[/q][i]z[0m" in out.getvalue() and "\x1b" not in out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("naïve Ωμ 学習 🙂 é", "naïve Ωμ 学習 🙂 é"),
        ("two\nlines\tand\r\nmore", "two lines and  more"),
        ("\x00\x08\x7f\x85nul", " nul"),
        ("caf\udce9", "caf"),
        ("a\u202ab\u202bc\u202cd\u202de\u202ef\u2066g\u2067h\u2068i\u2069j", "abcdefghij"),
    ],
)
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_terminal_without_the_letters_of_a_label_gets_their_codes(user: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from etastar.cli.main import main

    user("p = flat(label='学習')")
    monkeypatch.setattr(sys, "argv", ["etastar", "doctor", "user.py:p"])
    written = io.BytesIO()
    terminal = io.TextIOWrapper(written, encoding="ascii")
    with contextlib.redirect_stdout(terminal), pytest.raises(SystemExit, match=r"^0$"):
        main()
    terminal.flush()
    assert rb"\u5b66\u7fd2" in written.getvalue()
