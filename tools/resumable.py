"""A pytest plugin: a long run that was cut goes on where it was. `pytest -p tools.resumable --resume FILE`.

FILE holds a digest of the code and the tests, and below it what has passed since; what is changed starts anew, and what is
done ends with no file. Failures run again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

KNOWN = "ETASTAR_TESTS_KNOWN"
"""How many lines of the file hold for this run: all its processes must collect the same, also one that starts late."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the run is kept."""
    parser.addoption("--resume", metavar="FILE", help="leave out what FILE says has passed, and note there what passes")


def digest(folder: Path) -> str:
    """Of every file of Python below `folder`/src, tests, benchmarks and tools."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(p for part in ("src", "tests", "benchmarks", "tools") for p in (folder / part).rglob("*.py")):
        found.update(path.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def pytest_configure(config: pytest.Config) -> None:
    """Once for all processes: read the file, or begin it."""
    if config.option.resume is None or hasattr(config, "workerinput"):
        return
    path, now = Path(config.option.resume), digest(config.rootpath)
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or lines[0] != now:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{now}\n")
        lines = [now]
    os.environ[KNOWN] = str(len(lines))
    config.pluginmanager.register(Noting(path))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has passed."""
    if config.option.resume is None:
        return
    passed = set(Path(config.option.resume).read_text().splitlines()[1 : int(os.environ[KNOWN])])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
    items[:] = [item for item in items if item.nodeid not in passed]


class Noting:
    """Writes down what passes, as it passes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.otherwise: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line a test, once it is torn down: what failed or was skipped on the way runs again."""
        if not report.passed:
            self.otherwise.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self.otherwise:
            with self.path.open("a") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Nothing is left to go on with."""
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            self.path.unlink()
