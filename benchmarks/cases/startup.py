"""Time of etastar --help."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases.case import Case, Row


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    command = [str(Path(sys.executable).with_name("etastar")), "--help"]
    for _ in range(config["runs"]):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        yield {"seconds": time.perf_counter() - started}


def _summary(rows: list[Row]) -> str:
    seconds = np.array([r["seconds"] for r in rows])
    low, middle, high = (f"{np.quantile(seconds, q):.2f} s" for q in (0, 0.5, 1))
    return f"`etastar --help`: median {middle}, min {low}, max {high} over {len(rows)} runs."


CASE = Case("Time of etastar --help", _rows, _summary, {"runs": 11})
