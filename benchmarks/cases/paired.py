"""CPU time of this commit against an earlier one."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.cases.case import Case, Row, table


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    from benchmarks.paired import rows

    yield from rows(config)


def _summary(rows: list[Row]) -> str:
    lines = []
    for work in dict.fromkeys(r["work"] for r in rows):
        some = [r for r in rows if r["work"] == work]
        ratios = [r["before"] / r["now"] for r in some]
        middle = [f"{statistics.median(r[key] for r in some):.2f}" for key in ("before", "now")]
        lines.append([work, *middle, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"])
    head = f"Before is commit `{rows[0]['against']}`; now is the commit in environment.json. Above 1: faster now.\n\n"
    return head + table(["work", "before, CPU s", "now, CPU s", "before / now"], lines)


CASE = Case("CPU time of this commit against an earlier one", _rows, _summary, {"against": "a613a6f", "rounds": 5})
