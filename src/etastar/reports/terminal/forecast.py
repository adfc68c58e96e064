"""Of `forecast`: one row per question, the shapes for the rest, or one row per law checked; what was read from the logs."""

from __future__ import annotations

from etastar.core.estimate import Estimate
from etastar.reports.parts import Table
from etastar.verbs.forecast.forecast_answer import ForecastAnswer


def forecast_tables(answer: ForecastAnswer) -> list[Table]:
    """What was answered."""
    if answer.checks:
        number = lambda x, form: "-" if x is None else format(x, form)
        rows = [
            (c.law, number(c.mae, ".4f"), number(c.final_error, "+.4f"), number(c.worst, ".2%"), number(c.coverage, ".0%"),
             f"{c.answered:.0%}", c.reason)
            for c in answer.checks
        ]  # fmt: skip
        return [
            Table(
                "",
                ("law", "mean error", "at the end", "worst", "in the interval", "answered", "silent elsewhere"),
                tuple(rows),
            )
        ]
    rows = [(a.words, f"{len(a.rates):,}", *_loss(a.end)) for a in answer.answers]
    tables = [Table("", ("question", "steps", "loss", "90 %"), tuple(rows))]
    known = [s for s in answer.shapes if s.loss.ok]
    if len(known) > 1:
        head = ("the rest of this run, best first", "loss", "90 %")
        tables.append(Table("", head, tuple((s.name, *_loss(s.loss)) for s in known)))
    return tables


def forecast_notes(answer: ForecastAnswer) -> list[str]:
    """Why questions have no answer, and what was taken for what."""
    reasons = dict.fromkeys(a.end.reason for a in answer.answers if not a.end.ok)
    notes = list(dict.fromkeys((name, note) for name, own in answer.notes.items() for note in own))
    return [*reasons, *(f"{name}: {note}" for name, note in notes)]


def forecast_cost(answer: ForecastAnswer) -> list[str]:
    """On what it rests."""
    curves = answer.curves[:-1] if answer.checks else answer.curves  # the last one is checked
    runs = f"{len(curves)} run{'s' if len(curves) > 1 else ''}"
    losses = sum(len(c.steps) for c in curves)
    fitted = f"law: {answer.law}, off by {answer.rms:.2%} where it was fitted"
    return [f"{fitted}; {losses:,} losses of {runs}; nothing was trained"]


def _loss(estimate: Estimate) -> tuple[str, str]:
    if estimate.value is None:
        return "-", "-"
    return f"{estimate.value:.4g}", f"{estimate.low:.4g} .. {estimate.high:.4g}"
