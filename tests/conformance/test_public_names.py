"""The public API, locked by stubs: each `__init__.pyi` is the list, the types, and where a name comes from."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import etastar

SOURCE = Path(etastar.__file__).parent
STUBS = sorted(SOURCE.rglob("__init__.pyi"))
MOST = 50
"""Public names of `etastar` itself: a list that is read in one sitting. What only engineers use is in its folder."""


def module_of(stub: Path) -> str:
    return ".".join(("etastar", *stub.parent.relative_to(SOURCE).parts))


def imported(stub: Path) -> list[tuple[str, str]]:
    """(module below the stub's folder, name), in the stub's order; ("", name) is a folder."""
    nodes = [node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)]
    return [(node.module or "", alias.name) for node in nodes for alias in node.names]


EXPORTS = [(module_of(stub), name) for stub in STUBS for module, name in imported(stub) if module]


@pytest.mark.parametrize("stub", STUBS, ids=module_of)
def test_a_module_offers_what_its_stub_lists_once_and_in_order(stub):
    listed, module = imported(stub), import_module(module_of(stub))
    assert sorted(name for _, name in listed) == dir(module) == sorted(module.__all__) == sorted(set(module.__all__))
    assert [place for place, _ in listed] == sorted(place for place, _ in listed)


@pytest.mark.parametrize(("module", "name"), [pair for pair in EXPORTS if pair[1] not in ("FLAGS", "__version__")])
def test_every_public_name_exists_and_is_documented(module, name):
    value = getattr(import_module(module), name)
    assert len(value.__doc__ or "") > 20
    for method, member in inspect.getmembers(value, inspect.isfunction):
        if not method.startswith("_") and member.__module__.startswith("etastar"):
            assert inspect.getdoc(member), f"{name}.{method} has no docstring"


CLIENTS = ("etastar.adapters.lightning", "etastar.adapters.transformers")
"""Rooms of other people's trainers: each offers `problem_from` of its own, as a study's folder offers its `STUDY`."""


def test_a_name_is_one_thing_wherever_it_is_offered():
    found = {}
    for module, name in EXPORTS:
        value, room = getattr(import_module(module), name), module if module in CLIENTS or name == "STUDY" else ""
        assert found.setdefault((room, name), value) is value


def test_the_public_names_are_few():
    assert len([name for module, name in EXPORTS if module == "etastar"]) <= MOST


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, etastar, etastar.core, etastar.verbs; print(sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_readers_are_shown_is_public():
    """Each `etastar.NAME` of the README and the examples is one of the public names, or a folder or file."""
    root = Path(__file__).parents[2]
    shown = [root / "README.md", *(root / "examples").glob("*.py")]
    names = {name for path in shown for name in re.findall(r"(?<![\w./-])etastar\.([A-Za-z_]\w*)", path.read_text())}
    assert "find" in names
    rooms = {path.stem for path in Path(etastar.__file__).parent.iterdir()}
    assert names - set(dir(etastar)) - rooms == set()


OPTIONAL = {"ray", "optuna", "cmaes", "psycopg", "lightning", "transformers", "tensorboard"}


def test_optional_packages_are_imported_where_they_are_used():
    """Within functions: `import etastar` takes nothing that is not installed, and nothing that takes seconds."""
    package = Path(etastar.__file__).parent
    for path in package.rglob("*.py"):
        outside = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {a.name for n in outside if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module or "" for n in outside if isinstance(n, ast.ImportFrom)}
        assert not {name.partition(".")[0] for name in names} & OPTIONAL, path


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No etastar attribute nope"):
        _ = etastar.nope  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("stub", STUBS, ids=module_of)
def test_no_public_name_is_also_a_submodule(stub):
    """Importing the submodule would replace the public name."""
    names = {name for module, name in imported(stub) if module}
    beside = {path.parent.name for path in stub.parent.glob("*/__init__.py")}
    beside |= {path.stem for path in stub.parent.glob("*.py")}
    assert names & beside == set()
