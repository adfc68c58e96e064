"""The site's pages: their code runs and prints what they say, their commands exist, and every public name is told."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from tools.site import check, codes, command_line, examples, named, records, reference, running
from tools.site.pages import DOCS, ROOT, blocks, commands, written

import etastar

PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in written()}
WITH_PYTHON = [name for name, text in PAGES.items() if any(block.kind == "python" for block in blocks(text))]
WITH_CODE = [
    name for name, text in PAGES.items() if any(b.kind == "python" or (b.kind == "sh" and b.output) for b in blocks(text))
]


def test_every_page_is_a_page():
    assert all(text.startswith("# ") for text in PAGES.values())


def page_exists(path: Path) -> bool:
    """By hand, or to be written: a record's page, an example's, one of the reference."""
    parts = path.relative_to(DOCS).parts
    if parts[0] != "generated":
        return path.exists()
    if path.name.startswith("index."):
        return True
    if parts[1] == "gallery":
        return path.stem in examples.SHOWN
    if parts[1] == "evidence":
        return (records.FOLDER / path.stem).exists()
    return path.stem in ("codes", "command-line", "named", *(public.page for public in reference.public_names()))


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_to_one(name):
    """Without a build, which checks anchors, too."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[name]):
        assert page_exists((DOCS / name).parent.joinpath(link).resolve()), link


def test_every_page_is_in_a_table_of_contents():
    """Sphinx says so, too, and only once the site is built."""
    listed = set()
    for name, text in PAGES.items():
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            lines = [line for line in body.splitlines() if line and not line.startswith(":")]
            listed |= {(Path(name).parent / line).as_posix() + ".md" for line in lines}
    assert set(PAGES) - listed == {"index.md"}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CODE)
def test_the_blocks_of_a_page_run_and_print_what_it_says(name, tmp_path, monkeypatch):
    """Python, one block after the other, and commands whose output is shown; in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    for block, output in running.printed(PAGES[name]):
        said = block.output is None or running.same(block.output, output)
        assert said, f"{name} says of\n{block.body}\nthat it prints\n{block.output}\nand it printed\n{output}"


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_every_name_that_a_page_takes_from_etastar_is_there(name):
    for block in blocks(PAGES[name]):
        if block.kind == "python":
            tree = ast.parse(block.body)
            taken = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "etastar"}
            assert {each for each in taken if not hasattr(etastar, each)} == set()


def test_the_tree_of_verbs_has_all_of_them():
    assert [path for path, _ in command_line.tree() if f"etastar {path}" not in PAGES["which-verb.md"]] == []


def test_every_toml_block_is_toml():
    tables = [block.body for text in PAGES.values() for block in blocks(text) if block.kind == "toml"]
    assert len(tables) >= 2 and all(tomllib.loads(table) for table in tables)


def test_every_command_of_every_page_is_one_that_etastar_reads(tmp_path, monkeypatch):
    """Names, options and their values, without running anything; the files it names are there."""
    monkeypatch.chdir(tmp_path)
    known = dict(command_line.tree())
    lines = {line: name for name, text in PAGES.items() for line in commands(text) if line.startswith("etastar ")}
    assert len(lines) >= 30
    for line, name in lines.items():
        words = shlex.split(line, comments=True)[1:]
        path = next((path for path in (" ".join(words[:2]), words[0]) if path in known), None)
        assert path is not None, f"{name}: {line}"
        for word in words:
            if re.fullmatch(r"[\w/.]+\.(py|csv|json|pt|toml)(:\w+)?", word):
                (tmp_path / word.partition(":")[0]).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / word.partition(":")[0]).touch()
        known[path].make_context(path, words[len(path.split()) :])


def test_every_option_that_a_page_speaks_of_is_one_of_some_command():
    known = {
        name for _, command in command_line.tree() for each in command.params for name in (*each.opts, *each.secondary_opts)
    }
    known |= {"--help", "--version", "--traceback", "--install-completion"}
    said = {(name, option) for name, text in PAGES.items() for option in re.findall(r"`(--[a-z-]+)", text)}
    assert len(said) >= 20 and {each for each in said if each[1] not in known} == set()


def test_every_extra_that_is_not_for_the_house_is_told():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    told = re.findall(r"^\| (`[^|]*`) \|", PAGES["start.md"], flags=re.MULTILINE)
    assert {name for row in told for name in re.findall("`([^`]+)`", row)} == extras - {"clients", "dev", "docs"}


def test_every_public_name_has_a_page(tmp_path):
    """Written without what it is about being installed: Lightning and Transformers are mocked, or left aside."""
    told = {public.name for public in reference.public_names()}
    assert told >= {name for name in dir(etastar) if not name.startswith("__")} - rooms()
    for public in reference.public_names():
        if public.page not in ("adapters-lightning", "adapters-transformers"):
            assert f"{public.path}" in reference.entry(public, lambda name: f"`{name}`")


def rooms() -> set[str]:
    return {path.parent.name for path in Path(etastar.__file__).parent.glob("*/__init__.py")}


def test_a_name_without_a_docstring_has_no_page_and_stops_the_build():
    with pytest.raises(ValueError, match="every public name has a page"):
        _ = reference.Public("tools.site.pages", "DOCS", "tools.site.pages").doc


def test_generated_pages_tell_everything_that_is_registered(tmp_path):
    from etastar.core.codes import CODES
    from etastar.policies.registry import SCHEDULES

    assert all(f"| `{name}` |" in named.page() for name in SCHEDULES)
    explained = codes.page()
    for kind, table in CODES.items():
        assert all(f"({codes.anchor(kind, name)})=" in explained and code.then in explained for name, code in table.items())
    command_line.write(tmp_path)
    assert all(f"## etastar {path}\n" in (tmp_path / "command-line.md").read_text() for path, _ in command_line.tree())
    examples.write(tmp_path / "examples")
    assert {p.name for p in (tmp_path / "examples").glob("*.py")} == {p.name for p in examples.FOLDER.glob("*.py")}


def test_what_a_page_quotes_stands_in_a_record():
    """A row that is no longer there fails the build; here it fails without a build."""
    quotes = re.compile(r"^```\{record\} (\S+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    found = 0
    for text in PAGES.values():
        for name, body in quotes.findall(text):
            options = dict(re.findall(r"^:(\w+): (.*)$", body, flags=re.MULTILINE))
            record = records.newest()[name]
            if "says" in options:
                assert record.said(options["says"])
            else:
                assert record.quoted(options.get("rows", "."), options.get("columns", ""))
            found += 1
    assert found >= 8
    with pytest.raises(LookupError, match="no row of the record quick"):
        records.newest()["quick"].quoted("nobody measured this")


@pytest.mark.parametrize("name", ["codes", "docstring", "llms", "pages", "records", "reference", "running"])
def test_what_the_site_is_built_with_does_what_its_examples_say(name):
    found = doctest.testmod(import_module(f"tools.site.{name}"))
    assert found.attempted and not found.failed


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a><a href="https://example.org/x">x</a>')
    (tmp_path / "b.html").write_text('<p id="here"></p><a href="a.html#gone">a</a><img src="c.png"><a href="#here">me</a>')
    first, second = check.dead_links(tmp_path)
    assert "a.html#gone leads to no anchor" in first and "c.png leads to no page" in second
