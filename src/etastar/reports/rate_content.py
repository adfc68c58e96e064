"""What the pages of a sensitivity and of the effect of momentum say in words."""

from __future__ import annotations

from etastar.reports.parts import Card, SectionText, Table
from etastar.reports.rate_text import rate_text
from etastar.reports.share_chart import RECOMMENDED
from etastar.reports.surface_content import interval, levelled, measurement_rows, three_answers, yours_number
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer

OTHERS = ("diverged", "raised", "dead", "slow")
"""How lanes end that do not train."""
RELIABILITY = "Shares with their 90 % interval (Wilson), which is wide with few seeds."


def sensitivity_numbers(answer: SensitivityAnswer) -> list[Card]:
    """The best rate of the grid, the three answers there, and the rate in use."""
    found = []
    if answer.lr.ok and answer.best is not None:
        text = "Smallest final loss of the grid. The interval reaches to its neighbours: nothing is fitted."
        value = rate_text(answer.lr.require(), 2)
        found.append(Card("Best of the grid", value, interval(answer.lr), text, RECOMMENDED))
        found += three_answers(answer.best, answer.loss_name, answer.data.target)
    if answer.yours is not None:
        found.append(yours_number(answer.yours))
    return found


def sensitivity_sections(answer: SensitivityAnswer) -> list[SectionText]:
    """The questions the figures answer."""
    every = f"All lanes run {answer.steps:,} steps with schedule {answer.schedule}; only the rate and the seed differ."
    marks = "Dots: one training each; rings: medians over the seeds; red triangles: lanes that diverged."
    return [
        SectionText("What does the rate do?", every, {"loss": marks}),
        SectionText(
            "Which rates train?",
            f"A seed trains when at its last step: {answer.facts.criterion.sentence()}.",
            {"reliability": RELIABILITY},
        ),
        SectionText(
            "How did the loss go?",
            "Each line is one lane.",
            {"losses": "Point at a line for its rate; click an ending in the legend to see only those lanes."},
        ),
        SectionText("How soon?", "", {"time": "Dots: one training each; line: median over the seeds."}),
    ]


def sensitivity_tables(answer: SensitivityAnswer) -> list[Table]:
    """One row per rate, and how it was measured."""
    rows = []
    for c in answer.cells:
        endings = ", ".join(f"{n} {name}" for name in OTHERS if (n := getattr(c, name)))
        loss = "-" if c.loss is None else f"{c.loss:.3g}"
        metric = "-" if c.metric is None else f"{c.metric:.1%}"
        time = "-" if c.time is None else f"{c.time:,.0f}"
        rows.append((rate_text(c.lr), loss, metric, f"{c.trained} of {c.n}", time, endings))
    head = ("rate", answer.loss_name, "accuracy", "seeds that train", "steps to target", "the others")
    measured = Table("How it was measured", (), measurement_rows(answer, "sensitivity"))
    return [Table("Every rate", head, tuple(rows)), measured]


def momentum_numbers(answer: MomentumAnswer) -> list[Card]:
    """The best momentum, its best rate, and what it reaches."""
    if answer.best is None or answer.best.cell is None:
        return []
    text = f"The best rate at {answer.setting} {answer.best.value:g}, with the interval of that rate."
    own = f"Yours is {answer.own:g}."
    return [
        Card(
            f"Best {answer.setting}", f"{answer.best.value:g}", own, "Most seeds train, then the smallest loss.", "#0b62b0"
        ),
        Card("Best rate", rate_text(answer.lr.require(), 2), levelled(answer.lr), text, RECOMMENDED),
        *three_answers(answer.best.cell, answer.loss_name, None),
    ]


def momentum_sections(answer: MomentumAnswer) -> list[SectionText]:
    """The questions the figures answer."""
    every = (
        f"All lanes run {answer.steps:,} steps with schedule {answer.schedule}; every {answer.setting} has its own rates."
    )
    marks = "Dots: one training each; rings: medians over the seeds; red triangles: lanes that diverged."
    effective = "Where the curves lie on each other, momentum only rescales the rate."
    return [
        SectionText(f"What does {answer.setting} do?", every, {"loss": marks, "effective": effective}),
        SectionText(
            "Which rates train?",
            f"A seed trains when at its last step: {answer.facts.criterion.sentence()}.",
            {"reliability": RELIABILITY},
        ),
    ]


def momentum_tables(answer: MomentumAnswer) -> list[Table]:
    """One row per momentum, and how it was measured."""
    rows = []
    for r in answer.rows:
        lr, cell = r.best.lr, r.cell
        effective = "-" if r.effective_lr is None else rate_text(r.effective_lr)
        loss = "-" if cell is None or cell.loss is None else f"{cell.loss:.3g}"
        train = "-" if cell is None else f"{cell.trained} of {cell.n}"
        value = "-" if lr.value is None else rate_text(lr.value)
        rows.append((f"{r.value:g}", value, interval(lr), effective, loss, train, lr.reason))
    head = (answer.setting, "best rate", "90 % interval", "rate / (1 - momentum)", answer.loss_name, "seeds that train", "")
    measured = Table("How it was measured", (), measurement_rows(answer, "momentum"))
    return [Table("Every value", head, tuple(rows)), measured]
