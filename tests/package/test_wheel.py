"""The wheel as a stranger has it: small, typed, without tests, and enough with what it says it needs and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

from processes import PATIENCE

ROOT = Path(__file__).parents[2]
LARGEST = 2_000_000
pytestmark = pytest.mark.slow


def run(*command: object, folder: Path | None = None) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=PATIENCE, cwd=folder, env=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks, by the backend that pyproject names."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    run("git", "-C", ROOT, "archive", "HEAD", "-o", source / "source.tar")
    run("tar", "-xf", source / "source.tar", "-C", source)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", built, source)
    return next(built.glob("*.whl"))


def said_by(wheel: Path) -> list[str]:
    """What it says it needs."""
    with ZipFile(wheel) as content:
        name = next(name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(content.read(name)).get_all("Requires-Dist", [])


def needed(requirements: list[str], seen: set[str]) -> Iterator[str]:
    """Distributions that meet them without extras, and what those need."""
    for text in requirements:
        wanted = Requirement(text)
        if wanted.name.lower() in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name.lower())
        yield wanted.name
        yield from needed(distribution(wanted.name).requires or [], seen)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel; its dependencies, and no other package, are links to those installed here.

    Torch alone is gigabytes from the index: that a stranger's pip finds it is not what is tested.
    """
    home = tmp_path_factory.mktemp("home")
    venv.create(home, with_pip=True)
    site = next(home.glob("lib/python*/site-packages"))
    for name in needed(said_by(wheel), {"pip"}):
        own = distribution(name)
        for top in {file.parts[0] for file in own.files or () if file.parts[0] != ".."}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(own.locate_file(top))))
    run(home / "bin/pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    return home


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert wheel.stat().st_size < LARGEST
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"etastar"}
    assert "etastar/py.typed" in names and "etastar/reports/page.html.j2" in names
    assert "etastar/cli/find.schema.json" in names and not [name for name in names if "/tests/" in name or "test_" in name]


def test_it_finds_a_rate_with_what_it_says_it_needs(environment: Path, tmp_path: Path) -> None:
    said = run(
        environment / "bin/etastar", "find", "digits-mlp", "--effort", "glance", "--store", ":memory:", folder=tmp_path
    )
    assert said.startswith("digits-mlp: use 0.0")
    place = run(environment / "bin/python", "-c", "import etastar; print(etastar.__file__)", folder=tmp_path)
    assert str(environment) in place, "and not the one that is installed here"
    for extra in ("optuna", "ray", "pytest"):
        done = subprocess.run([environment / "bin/python", "-c", f"import {extra}"], capture_output=True)
        assert done.returncode == 1, f"{extra} is not needed, so it is not there"


def test_what_it_needs_is_consistent(environment: Path) -> None:
    assert "No broken requirements" in run(environment / "bin/pip", "check")
