"""The README: short, its blocks run and print what it says, its numbers stand in their records, its links lead somewhere."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tools.site import running
from tools.site.pages import blocks

import etastar

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = blocks(README)
PYTHON = [block.body for block in BLOCKS if block.kind == "python"]
SHELL = [line for block in BLOCKS if block.kind == "sh" for line in block.body.splitlines()]
LONGEST = 9_000
"""Characters: what is read before anything is tried."""
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:[%x]|(?![\w]))")
EVIDENCE = [line for line in README.splitlines() if "benchmarks/records/" in line]


def test_it_is_short_and_shows_one_picture():
    assert len(README.encode()) <= LONGEST
    (picture,) = re.findall(r"!\[(.+)\]\((.+)\)", README)
    assert len(picture[0]) > 60 and (ROOT / picture[1]).stat().st_size < 150_000


def test_every_command_is_one_that_etastar_reads(tmp_path, monkeypatch):
    """The light twin of the test below: names, options and their values, without running anything."""
    from etastar.cli.main import commands

    group: Any = commands()
    inline = re.findall(r"`(etastar [^`]+)`", README)
    lines = [shlex.split(line) for line in (*SHELL, *inline) if line.startswith("etastar ")]
    assert len(lines) >= 4
    monkeypatch.chdir(tmp_path)
    Path("mine.py").touch()
    for _, command, *arguments in lines:
        group.commands[command].make_context(command, arguments)


def test_every_command_is_in_the_table_of_what_is_wanted():
    from etastar.cli.main import commands

    group: Any = commands()
    told = {
        word
        for cell in re.findall(r"^\| .+? \| (.+?) \|", README, flags=re.MULTILINE)
        for word in re.findall(r"`(\w+)", cell)
    }
    assert set(group.commands) - {"demo", "problems"} <= told


@pytest.mark.parametrize("index", range(len(PYTHON)))
def test_every_name_a_python_block_takes_from_etastar_is_there(index):
    tree = ast.parse(PYTHON[index])
    taken = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "etastar"}
    assert taken and all(hasattr(etastar, name) for name in taken)


@pytest.mark.slow
def test_its_blocks_run_and_print_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = list(running.printed(README))
    assert len(ran) == 3
    for block, output in ran:
        said = block.output is None or running.same(block.output, output)
        assert said, f"{block.body}\nprinted\n{output}"
    assert ran[-1][1].startswith("after 100 steps: rate = ")
    for line in (line for line in SHELL if "mine.py" in line):
        running.ran(line)
    assert Path("answer.json").exists() and Path("out/mine/index.html").exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([\w-]+)", README))))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("row", EVIDENCE)
def test_every_number_stands_in_its_record(row):
    """Of the result's column, as it is written there."""
    _, _, result, link, _ = (cell.strip() for cell in row.split("|"))
    record = (ROOT / re.findall(r"\((.+)\)", link)[0]).read_text()
    numbers = NUMBER.findall(re.sub(r"`[^`]*`|\b90 % interval|0\.05 nats", "", result))
    assert numbers and set(numbers) <= set(NUMBER.findall(record)), set(numbers) - set(NUMBER.findall(record))


def test_evidence_is_of_eight_rows_and_shows_where_it_loses():
    assert len(EVIDENCE) == 8 and sum("**" in row for row in EVIDENCE) >= 2


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if not link.startswith("https://")]
    assert len(links) > 20
    for link in links:
        assert (ROOT / link).exists(), link
