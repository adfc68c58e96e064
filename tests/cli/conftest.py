"""Fixtures for the command line: an empty folder to run in, and a writer of users' problem files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cli_harness import HEADER, Cli, Ran, run_here
from processes import PATIENCE


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """`cli("find", "quadratic", ...)`; the working directory is `tmp_path`, so the default store is there too."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield run_here
    for name in set(sys.modules) - before:
        if name.startswith("etastar_user_"):
            del sys.modules[name]


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """`script("p = problem(...)")` writes `user.py` with the usual imports, data and `problem(**changes)` above it."""

    def write(body: str, *, header: str = HEADER) -> Path:
        path = tmp_path / "user.py"
        path.write_text(header + "\n" + body + "\n")
        return path

    return write


@pytest.fixture
def user_module(tmp_path: Path) -> Callable[[], ModuleType]:
    """The user's file as the last command imported it."""

    def find() -> ModuleType:
        own = str(tmp_path / "user.py")
        (module,) = [m for n, m in sys.modules.items() if n.startswith("etastar_user_") and m.__file__ == own]
        return module

    return find


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """The same in a process of its own, through the installed console script."""

    def run(*args: Any) -> Ran:
        command = [str(Path(sys.executable).with_name("etastar")), *map(str, args)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETASTAR")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
