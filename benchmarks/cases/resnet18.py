"""ResNet-18 on CIFAR-10 pictures, 7,800 steps planned, as a user runs it: a log without a terminal, and a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row

EXAMPLE = Path(__file__).parents[2] / "examples" / "resnet18_cifar.py"


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    """Lines of the log, with the seconds since the start of the process at which they came; then its end."""
    command = [str(Path(sys.executable).with_name("etastar")), "find", f"{EXAMPLE}:problem", "--store", ":memory:"]
    sizes = f"width={config['width']},side={config['side']},most={config['most']}"
    command += ["--set", sizes, "--max-seconds", str(config["seconds"]), "--effort", config["effort"]]
    environment = os.environ | {"CIFAR": config["folder"], "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    watchdog = threading.Timer(4 * config["seconds"] + 600, process.kill)
    watchdog.start()
    for line in process.stdout:
        yield {"seconds": time.monotonic() - began, "line": line.rstrip()}
    code = process.wait()
    watchdog.cancel()
    yield {"seconds": time.monotonic() - began, "line": None, "code": code, "limit": config["seconds"]}


def _summary(rows: list[Row]) -> str:
    *lines, end = rows
    first = f"{lines[0]['seconds']:.0f} s" if lines else "never"
    log = "\n".join(f"{r['seconds']:6.0f} s  {r['line']}" for r in lines)
    return (
        f"First line after {first}; over after {end['seconds']:.0f} s of the process (start and reading of the pictures "
        f"included), limit {end['limit']:g} s; exit code {end['code']}.\n\n```\n{log}\n```"
    )


CASE = Case(
    "ResNet-18 on CIFAR-10 pictures, 7,800 steps planned",
    _rows,
    _summary,
    {"folder": "data/cifar10", "width": 64, "side": 32, "most": 50_000, "seconds": 600, "effort": "quick"},
)
