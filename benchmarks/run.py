"""`python -m benchmarks.run NAME|all`: measure, print the table, write records/DATE_NAME/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import etastar
from benchmarks.cases import CASES
from benchmarks.cases.case import Case

RECORDS = Path(__file__).parent / "records"


def environment() -> dict[str, Any]:
    """The machine and the code a record was made with."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "etastar": etastar.__version__,
        "commit": commit.stdout.strip(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def run(name: str, case: Case) -> str:
    """Measure `case` and write its record; returns the summary."""
    folder = RECORDS / f"{datetime.now(UTC):%Y-%m-%d}_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    rows = []
    with (folder / "results.jsonl").open("w") as file:
        for row in case.rows(case.config):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    summary = case.summary(rows)
    case.chart(rows, folder)
    minutes = (time.perf_counter() - started) / 60
    config = "\n".join(f"{key} = {json.dumps(value)}" for key, value in case.config.items())
    (folder / "config.toml").write_text(config + "\n")
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
    command = f"make bench BENCH={name}"
    (folder / "README.md").write_text(f"# {case.title}\n\n`{command}` ({minutes:.1f} minutes)\n\n{summary}\n")
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=["all", *CASES])
    parser.add_argument("--data", help="folder of the data, for cases that read one")
    args = parser.parse_args()
    for name in CASES if "all" in args.names else args.names:
        case = CASES[name]
        if args.data and "folder" in case.config:
            case = replace(case, config=case.config | {"folder": args.data})
        print(f"\n## {case.title}\n\n{run(name, case)}", flush=True)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
