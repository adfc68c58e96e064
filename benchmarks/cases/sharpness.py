"""Time to the largest Hessian eigenvalue, and its true error, against PyHessian and curvlinops."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    """In the peers' environment, where torch and scipy are the same versions; etastar comes from this source tree."""
    root = Path(__file__).parents[2]
    peers = Path(os.environ.get("ETASTAR_PEERS", root / config["peers"]))
    if not peers.exists():
        raise SystemExit(f"no {peers}; make it as benchmarks/peers/sharpness.txt says, or set ETASTAR_PEERS to its python")
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "OMP_NUM_THREADS": "1"}
    command = [str(peers), "-m", "benchmarks.sharpness", json.dumps(config)]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from (json.loads(line) for line in process.stdout)
    if process.returncode:
        raise SystemExit(f"the peers' process ended with {process.returncode}")


def _summary(rows: list[Row]) -> str:
    ours, lines = "etastar 1e-3", []
    for case in dict.fromkeys(r["case"] for r in rows):
        some = [r for r in rows if r["case"] == case]
        base = {(r["seed"], r["round"]): r["seconds"] for r in some if r["tool"] == ours}
        for tool in dict.fromkeys(r["tool"] for r in some):
            own = [r for r in some if r["tool"] == tool]
            ratio = statistics.median(r["seconds"] / base[r["seed"], r["round"]] for r in own)
            errors = [r["error"] for r in own]
            met = sum(e <= 1e-3 for e in errors)
            wrong = f"; says {statistics.median(r['value'] for r in own):.3g}" if min(errors) > 0.5 else ""
            milliseconds = 1000 * statistics.median(r["seconds"] for r in own)
            error = f"{statistics.median(errors):.1e} / {max(errors):.1e}{wrong}"
            lines.append([case, tool, f"{milliseconds:.1f}", f"{ratio:.2f}", error, f"{met} of {len(own)}"])
    header = [
        "network",
        "tool and its tolerance",
        "CPU ms, median",
        f"x {ours}",
        "true error, median / worst",
        "within 1e-3",
    ]
    checks = [abs(r["truth_by_eigsh"] / r["truth"] - 1) for r in rows if r["truth_by_eigsh"]]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (
        f"{table(header, lines)}\n\nOne thread, process CPU time, tools alternating in one process; ratio: median over "
        f"rounds and seeds of the same round. References: float64 Lanczos to 1e-10; scipy's eigsh in float64 agrees to "
        f"{max(checks):.0e} where it was run. Load average at the end: {load}."
    )


CASE = Case(
    "Time to the largest Hessian eigenvalue, and its true error, against PyHessian and curvlinops",
    _rows,
    _summary,
    {
        "networks": ["mlp 3 x 32", "mlp 3 x 128", "cnn"],
        "seeds": 5,
        "rounds": 3,
        "samples": 512,
        "peers": ".venv-peers/bin/python",
    },
)
