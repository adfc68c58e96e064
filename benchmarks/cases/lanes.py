"""Lanes against the loop a user would write, 2 cores."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.lanes import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    targets = {"MLP 3x32": 8, "MLP 3x128": 4, "MLP 3x512": 1.5, "CNN 8x8": 1.8, "CNN 28x28": 1, "transformer B=16": 1}
    lines = []
    for name in dict.fromkeys(r["network"] for r in rows):
        some = [r for r in rows if r["network"] == name]
        middle = lambda key: statistics.median(r[key] for r in some)  # noqa: B023
        ratios = sorted(r["ratio"] for r in some)
        lines.append(
            [
                name,
                some[0]["engine"],
                f"{some[0]['lanes']} x {some[0]['steps']}",
                f"{middle('loop_1_thread_us'):,.0f} / {middle('loop_default_threads_us'):,.0f}",
                f"{middle('ours_us'):,.0f}",
                f"**{middle('ratio'):.1f}x** ({ratios[0]:.1f} .. {ratios[-1]:.1f})",
                f">= {targets[name]}x",
                f"{middle('of_peak'):.0%}",
                f"{some[0]['trial_s']:.1f} + {some[0]['start_workers_s']:.1f}",
            ]
        )
    header = [
        "network",
        "engine chosen",
        "lanes x steps",
        "ordinary loop, 1 / default threads, us a step",
        "ours, us a lane's step",
        "ratio to the faster loop (range over rounds)",
        "target",
        "of sgemm peak",
        "cold: trial + workers, s",
    ]
    return table(header, lines)


CASE = Case("Lanes against the loop a user would write, 2 cores", _rows, _summary, {"rounds": 7})
