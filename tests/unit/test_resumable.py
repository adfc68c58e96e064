"""A long run of tests that was cut goes on where it was, and starts anew where something was changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tools.resumable

from processes import PATIENCE

TESTS = """
import os

def test_one():
    pass

def test_two():
    assert os.environ.get("MENDED")
"""


def ran(folder: Path, mended: str = "", *, changed: bool = False) -> str:
    """The last line of a run in `folder`."""
    (folder / "tests" / "test_it.py").write_text(TESTS + "\n# changed" * changed)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.resumable", "-p", "no:cacheprovider", "-p", "no:xdist"]
    root = str(Path(tools.resumable.__file__).parents[1])
    environment = os.environ | {"MENDED": mended, "PYTHONPATH": root}
    command += ["--resume", "kept/passed", "--rootdir", "."]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout.splitlines()[-1]


def test_what_has_passed_is_left_out_until_something_changes_and_the_end_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    kept = tmp_path / "kept" / "passed"
    assert ran(tmp_path).startswith("1 failed, 1 passed in")
    assert ran(tmp_path).startswith("1 failed, 1 deselected in")
    assert ran(tmp_path, changed=True).startswith("1 failed, 1 passed in")
    assert kept.read_text().splitlines()[1:] == ["tests/test_it.py::test_one"]
    assert ran(tmp_path, "yes", changed=True).startswith("1 passed, 1 deselected in")
    assert not kept.exists()
