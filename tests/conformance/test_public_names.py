"""The public API, locked: adding a name means adding it to tests/catalog.py, too."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from pathlib import Path

import pytest

import etastar
from catalog import PUBLIC_NAMES


def test_the_public_names_are_exactly_these():
    assert sorted(etastar.__all__) == sorted(PUBLIC_NAMES)
    assert dir(etastar) == sorted(PUBLIC_NAMES)


@pytest.mark.parametrize("name", [n for n in PUBLIC_NAMES if n not in ("FLAGS", "__version__")])
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(etastar, name)
    assert len(value.__doc__ or "") > 20
    for method, member in inspect.getmembers(value, inspect.isfunction):
        if not method.startswith("_") and member.__module__.startswith("etastar"):
            assert inspect.getdoc(member), f"{name}.{method} has no docstring"


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
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = etastar.nope


def test_no_public_name_is_also_a_submodule():
    """Importing the submodule would replace the public name."""
    submodules = {m.name for m in pkgutil.iter_modules(etastar.__path__)}
    assert submodules & set(PUBLIC_NAMES) == set()
