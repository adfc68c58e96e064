"""What is drawn and said of a lane's monitors, as rows: the quantity that each is drawn by, over steps and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from etastar.core.lane import Outcome, ReadingRow
from etastar.core.monitor import Monitor
from etastar.probes.monitors.drawn import Drawn
from etastar.reports.rate_text import rate_text


def monitor_lines(watched: Outcome | None) -> list[str]:
    """A line a monitor: its largest value and where, and its values at the last look."""
    found = []
    for _, drawn, rows in drawable(watched):
        assert watched is not None
        top, last = max(rows, key=lambda row: row["value"]), max(row["step"] for row in rows)
        ends = [row["value"] for row in rows if row["step"] == last]
        ended = " .. ".join(f"{x:.3g}" for x in dict.fromkeys((min(ends), max(ends))))
        where = f"step {top['step']:,}" + ("" if top["block"] == "model" else f", module {top['block']}")
        found.append(f"{drawn.title}: at most {top['value']:.3g} ({where}), {ended} at step {last:,}")
    if not found:
        return []
    assert watched is not None
    return [f"one lane of {watched.lane.steps:,} steps at {rate_text(watched.lane.lr)} while it trained:", *found]


def drawable(watched: Outcome | None) -> list[tuple[Monitor, Drawn, list[dict[str, Any]]]]:
    """(monitor, what is drawn of it, its rows), of quantities that have values."""
    found: list[tuple[Monitor, Drawn, list[dict[str, Any]]]] = []
    for monitor in watched.lane.monitors if watched else ():
        assert watched is not None
        readings = watched.read_by(monitor)
        kinds: Sequence[Drawn] = getattr(monitor, "drawn", ())
        for drawn in kinds:
            fallen_short = not any(m is monitor for m, _, _ in found)
            if (fallen_short or not drawn.instead) and (rows := _rows(drawn, readings)):
                found.append((monitor, drawn, rows))
    return found


def _rows(drawn: Drawn, readings: Sequence[ReadingRow]) -> list[dict[str, Any]]:
    """The finite values of a quantity, as shares of another's first where it is a share."""
    first: dict[str, float] = {}
    for r in readings:
        if r.name == drawn.share_of:
            first.setdefault(r.block, r.value)
    unit = lambda block: first.get(block, math.nan) if drawn.share_of else 1.0
    rows = [
        {"step": r.step, "block": r.block or "model", "value": r.value / unit(r.block)}
        for r in readings
        if r.name == drawn.quantity and unit(r.block) != 0
    ]
    return [row for row in rows if math.isfinite(row["value"])]
