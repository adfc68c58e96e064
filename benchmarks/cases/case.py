"""`Case`: a claim to measure, and what several of them write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A claim to measure: its rows, their summary, the settings both were made with, and what is drawn into its folder."""

    title: str
    rows: Callable[[dict[str, Any]], Iterator[Row]]
    summary: Callable[[list[Row]], str]
    config: dict[str, Any]
    chart: Callable[[list[Row], Path], None] = lambda rows, folder: None


def table(header: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)])


def find_row(answer: Any, **labels: Any) -> Row:
    e = answer.estimate
    return {
        **labels,
        "status": e.status.value,
        "value": e.value,
        "low": e.low,
        "high": e.high,
        "half_width": (e.high - e.low) / 2 / e.value if e.ok else None,
        "runs": answer.band.refine_runs,
        "scan_runs": answer.band.scan_runs,
        "transition": answer.band.width.value,
        "end": answer.end.eta_star.value if answer.end else None,
        "gradient_steps": answer.cost["gradient_steps"],
        "seconds": answer.cost["seconds"],
        "flags": list(e.flags),
    }
