"""The README's blocks run as they stand, in a folder of their own."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

import etastar
from cli_harness import run_here

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
FIRST = "mine.py"
"""What the reader is asked to save the first Python block as."""
PYTHON = [body for kind, body in BLOCKS if kind == "python"]
SHELL = [line for kind, body in BLOCKS if kind == "sh" for line in body.splitlines()]


def test_there_are_blocks():
    assert len(PYTHON) >= 2 and len(SHELL) >= 4


def test_every_command_is_one_that_etastar_reads(tmp_path, monkeypatch):
    """The light twin of the test below: names, options and their values, without running anything."""
    from etastar.cli.main import commands

    group: Any = commands()
    lines = [shlex.split(line) for line in SHELL if line.startswith("etastar ")]
    assert len(lines) >= 4
    monkeypatch.chdir(tmp_path)
    Path(FIRST).touch()
    for _, command, *arguments in lines:
        group.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("index", range(len(PYTHON)))
def test_every_name_a_python_block_takes_from_etastar_is_there(index):
    tree = ast.parse(PYTHON[index])
    taken = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "etastar"}
    assert taken and all(hasattr(etastar, name) for name in taken)


@pytest.mark.slow
def test_python_blocks_run_and_the_shell_commands_after_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for index, body in enumerate(PYTHON):
        script = Path(FIRST if index == 0 else f"block_{index}.py")
        script.write_text(body)
        runpy.run_path(str(script), run_name="__main__")
        assert re.search(r"use [\d.]+ \[|lambda1 = |rate = ", capsys.readouterr().out)
    assert Path("out/mine/index.html").exists()
    for line in SHELL:
        command, *arguments = shlex.split(line)
        if command == "etastar":
            ran = run_here(*arguments)
            assert ran.code == 0, f"{line}: {ran.err}"
    assert Path("answer.json").exists()


@pytest.mark.parametrize(
    "target", sorted({*re.findall(r"`make ([\w-]+)", README), *(s.split()[1] for s in SHELL if s.startswith("make"))})
)
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"BENCH=([\w-]+)", README))))
def test_every_number_has_a_case_and_a_record(name):
    from benchmarks.cases import CASES

    assert name in CASES
    records = sorted((ROOT / "benchmarks/records").glob(f"*_{name}"))
    assert records, f"no record of {name}"
    for part in ("README.md", "config.toml", "results.jsonl", "environment.json"):
        assert (records[-1] / part).stat().st_size > 0


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
