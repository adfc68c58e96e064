"""`--max-seconds` is a limit: real runs of networks x efforts x limits, in this process and in workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table
from etastar import EtastarError, Options, find
from etastar.problems import builder

SMALL = ("digits-mlp", "digits-cnn")
RUNS = [
    *((name, "quick", seconds, workers) for name in SMALL for seconds in (2, 4, 8) for workers in (1, 2)),
    *(("digits-transformer", effort, 12, workers) for effort in ("glance", "thorough") for workers in (1, 2)),
    *(("digits-cnn", "thorough", seconds, workers) for seconds in (6, 15) for workers in (1, 2)),
]  # fmt: skip
"""(network, effort, limit, workers)."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    for name, effort, seconds, workers in config["runs"]:
        problem = builder(name)(steps=config["steps"])
        options = Options(store=":memory:", workers=workers, max_seconds=seconds)
        row = {"problem": name, "effort": effort, "limit": seconds, "workers": workers}
        began = time.monotonic()
        try:
            answer = find(problem, effort=effort, options=options)
            seen = {"status": answer.lr.status.value, "time_limit": "time-limit" in answer.flags}
            seen |= {"engine": answer.engine, "step": answer.facts.seconds_per_step, "runs": answer.cost["full_runs"]}
        except EtastarError as error:
            seen = {"status": str(error), "time_limit": True, "engine": "", "step": 0.0, "runs": 0.0}
        took = time.monotonic() - began
        yield {**row, **seen, "seconds": took, "ratio": took / seconds}


def _summary(rows: list[Row]) -> str:
    within = [r["seconds"] <= 1.1 * r["limit"] + r["step"] for r in rows]
    worst = max(r["ratio"] for r in rows)
    answered = sum(r["status"] == "ok" for r in rows)
    head = ["network", "effort", "limit", "workers", "took", "ratio", "status", "full runs"]
    lines = [
        [
            r["problem"], r["effort"], f"{r['limit']} s", r["workers"], f"{r['seconds']:.1f} s", f"{r['ratio']:.2f}",
            r["status"] + (", time-limit" if r["time_limit"] else ""), f"{r['runs']:.2g}",
        ]
        for r in rows
    ]  # fmt: skip
    return (
        f"{sum(within)} of {len(rows)} runs ended within 1.1 x the limit and a step; the longest took {worst:.2f} x it. "
        f"{answered} carry a rate, the others say why not.\n\n{table(head, lines)}"
    )


CASE = Case("The time limit is a limit", _rows, _summary, {"runs": RUNS, "steps": 3000})
