"""Of `probe`: one row per reading, the convention, and what the numbers are not."""

from __future__ import annotations

from etastar.core.estimate import Estimate
from etastar.reports.parts import Table
from etastar.verbs.probe import NOT_ETA_STAR, ProbeAnswer


def probe_tables(answer: ProbeAnswer) -> list[Table]:
    """The readings that have a value."""
    rows = []
    for r in answer.readings:
        e = r.estimate
        if e.value is not None and e.low is not None and e.high is not None:
            rate = f"{r.rate:.3g}" if r.rate else ""
            rows.append((r.name, f"{e.value:.3g}", _bound(e.value, e), str(e.n), rate, r.says))
    head = ("", "value", "error bound", "n", "rate", "what it says")
    return [Table("", head, tuple(rows))] if answer.ok else []


def probe_notes(answer: ProbeAnswer) -> list[str]:
    """The readings that do not apply."""
    return [f"no {r.name}: {r.estimate.reason}" for r in answer.readings if not r.ok] if answer.ok else []


def probe_cost(answer: ProbeAnswer) -> list[str]:
    """On what it was read."""
    if not answer.ok:
        return []
    return [
        f"loss: {answer.loss}; {answer.optimizer}, {answer.parameters:,} parameters, {answer.samples} samples, "
        f"seed {answer.seed}, {answer.dtype} on {answer.device}, {answer.seconds:.1f} s",
        NOT_ETA_STAR,
    ]


def _bound(value: float, e: Estimate) -> str:
    """An error that is the same on both sides as a percentage, an interval as it is."""
    low, high = e.low if e.low is not None else value, e.high if e.high is not None else value
    below, above = value - low, high - value
    if below == above == 0:
        return ""
    if value and abs(above - below) <= 1e-3 * above:
        return f"+- {100 * above / abs(value):.2g} %"
    return f"{low:.3g} .. {high:.3g}"
