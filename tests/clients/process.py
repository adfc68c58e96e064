"""A test file run as a script: a process that may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).parents[1])


def script(file: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """`python FILE ARGUMENTS` on one thread, as the tests themselves: then sums are the same to the bit."""
    path = os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")]))
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, file, *map(str, arguments)], env=env, capture_output=True, text=True)
