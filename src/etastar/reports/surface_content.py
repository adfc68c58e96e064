"""What the page of a surface says in words."""

from __future__ import annotations

from typing import Any

from etastar.core.estimate import Estimate
from etastar.designs.surface.surface_cells import Cell
from etastar.reports.chart_parts import INK
from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import rate_text
from etastar.reports.share_chart import ETA_STAR, RECOMMENDED
from etastar.verbs.surface.surface_answer import SurfaceAnswer

TIME = "#c2570c"


def surface_numbers(answer: SurfaceAnswer) -> list[Card]:
    """The recommended rate, the three answers at its cell, and the rate in use."""
    found = []
    cell = answer.chosen
    if answer.lr.ok and cell is not None:
        where = f"{cell.schedule} over {cell.horizon:,} steps"
        meaning = f"With {where}. The interval is that of the rate with the smallest loss."
        found.append(Card("Recommended", rate_text(answer.lr.require(), 2), levelled(answer.lr), meaning, RECOMMENDED))
    if cell is not None:
        found += three_answers(cell, answer.loss_name, answer.data.target)
    if answer.yours is not None:
        found.append(yours_number(answer.yours))
    return found


def three_answers(cell: Cell, loss_name: str, target: float | None) -> list[Card]:
    """Accuracy, reliability and time of a cell: kept apart."""
    at = f"At the measured rate {rate_text(cell.lr)}."
    found = []
    if cell.loss is not None:
        spread = "" if cell.loss_low is None or cell.loss_high is None else f"{cell.loss_low:.3g} to {cell.loss_high:.3g}"
        metric = "" if cell.metric is None else f" Accuracy {cell.metric:.1%}."
        text = f"Median {loss_name} over {cell.n} seeds (and quartiles). {at}{metric}"
        found.append(Card("Accuracy", f"{cell.loss:.3g}", spread, text, ETA_STAR))
    low, high = f"{cell.reliability_low:.0%}", f"{cell.reliability_high:.0%}"
    interval = f"{100 * cell.level:g} % (Wilson): {low} to {high}"
    text = f"Seeds that meet the criterion at their end. {at}"
    found.append(Card("Reliability", f"{cell.trained} of {cell.n}", interval, text, "#2a9d6f"))
    if target is not None:
        value = f"> {cell.horizon:,}" if cell.time is None else f"{cell.time:,.0f}"
        text = f"Median steps to a training loss of {target:g}. {at}"
        found.append(Card("Time", value, f"{cell.censored:.0%} never reach it", text, TIME))
    return found


def yours_number(yours: Any) -> Card:
    """The rate in use."""
    sentence = yours.sentence[:1].upper() + yours.sentence[1:] + "."
    return Card("Yours", rate_text(yours.lr), f"verdict: {yours.verdict}", sentence, INK)


def surface_sections(answer: SurfaceAnswer) -> list[SectionText]:
    """The questions the figures answer, in reading order."""
    target = answer.data.target
    level = f"{100 * answer.lr.level:g} %"
    return [
        SectionText(
            "Accuracy: which rate ends best?",
            f"One panel per schedule and number of steps, with the same axes. The {answer.loss_name} is taken at the "
            "end; lanes share their seeds, so rates are compared in pairs.",
            {
                "loss": f"Dots: one training each; rings: medians over the seeds; line and band: the fitted law with its "
                f"{level} interval; dashed: the best rate; bar at the foot: rates within 2 % of the smallest loss; red "
                "triangles: lanes that diverged.",
            },
        ),
        SectionText(
            "Reliability: which rates train?",
            f"A seed trains when at its last step: {answer.facts.criterion.sentence()}.",
            {
                "reliability": f"Shares with their {level} interval (Wilson), wide with few seeds; marks of the same rate "
                "are moved apart.",
            },
        ),
        SectionText(
            "Time: which rates get there first?",
            "" if target is None else f"The target is a training loss of {target:g}, averaged over a window of batches.",
            {"time": "Dots: one training each; line: median over the seeds, where half of them or more get there."},
        ),
        SectionText(
            "What cannot be had at once",
            "Time, accuracy and reliability are not mixed into one score. A ringed cell is beaten by no other in all three.",
            {"front": "One mark a cell; the paler, the fewer seeds train; labels are rates. Cells that never reach the "
             "target are not drawn."},
        ),
    ]  # fmt: skip


def surface_tables(answer: SurfaceAnswer) -> list[Table]:
    """Best rates, the front, how the best rate falls with the horizon, and how it was measured."""
    level = f"{100 * answer.lr.level:g} %"
    head = ("schedule", "steps", "best rate", f"{level} interval", f"predicted {answer.loss_name}", "seeds that train", "")
    rows = []
    for b in answer.rows:
        note = b.lr.reason or (f"plateau {rate_text(b.plateau[0])} to {rate_text(b.plateau[1])}" if b.plateau else "")
        value = "-" if b.lr.value is None else rate_text(b.lr.value)
        loss = "-" if b.loss.value is None else f"{b.loss.value:.3g} ({b.loss.low:.3g} to {b.loss.high:.3g})"
        train = "-" if b.cell is None else f"{b.cell.trained} of {b.cell.n}"
        rows.append((b.schedule, f"{b.horizon:,}", value, interval(b.lr), loss, train, note))
    found = [Table("Best rates", head, tuple(rows))]
    front = tuple(
        (c.schedule, f"{c.horizon:,}", rate_text(c.lr), "-" if c.time is None else f"{c.time:,.0f}", f"{c.loss:.3g}",
         f"{c.trained} of {c.n}")
        for c in answer.front
    )  # fmt: skip
    head = ("schedule", "steps", "rate", "steps to target", answer.loss_name, "seeds that train")
    found.append(Table("Cells no other beats in all three", head, front))
    gamma = tuple(
        (
            s,
            "-" if e.value is None else f"{e.value:.2f}",
            "" if e.value is None else f"{e.low:.2f} to {e.high:.2f}",
            e.reason,
        )
        for s, e in answer.exponents.items()
    )
    found.append(Table("Best rate ~ steps^-gamma", ("schedule", "gamma", f"{level} interval", ""), gamma))
    rows = [
        ("default choice", answer.choice),
        ("law", "Gaussian process (Matern 5/2) of log loss over log rate and log steps"),
    ]
    return [*found, Table("How it was measured", (), (*rows, *measurement_rows(answer, "surface")))]


def interval(estimate: Estimate) -> str:
    """low to high; empty without both."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{rate_text(estimate.low)} to {rate_text(estimate.high)}"


def levelled(estimate: Estimate) -> str:
    """The interval with its probability."""
    return f"{100 * estimate.level:g} %: {interval(estimate)}"


def measurement_rows(answer: Any, command: str) -> tuple[tuple[str, str], ...]:
    """With what it was measured, and what it cost."""
    cost, where = answer.cost, answer.environment
    return (
        ("criterion", answer.facts.criterion.sentence()),
        ("lanes", f"{len(answer.runs):,}"),
        (
            "cost",
            f"{cost['gradient_steps']:,} gradient steps, {cost['new_gradient_steps']:,} of them new, the others stored; "
            f"{cost['full_runs']:.3g} full trainings with validation; {cost['seconds']:.3g} s",
        ),
        ("optimizer", answer.facts.optimizer or "unknown"),
        ("engine", answer.engine),
        ("environment", f"Python {where['python']}, torch {where['torch']}, {where['machine']}, {where['cpus']} CPUs"),
        (
            "to reproduce",
            f"etastar {where['etastar']}, etastar {command} {answer.problem}, seed {answer.seed}: the same lanes are run "
            "again, or read from the store",
        ),
    )
