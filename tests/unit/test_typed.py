"""Types of etastar reach those who use it."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path


def test_the_package_says_that_it_is_typed():
    """PEP 561: without the marker type checkers ignore the annotations."""
    assert files("etastar").joinpath("py.typed").is_file()
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "Typing :: Typed" in project["project"]["classifiers"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"] == {"packages": ["src/etastar"]}, "and nothing left out"
