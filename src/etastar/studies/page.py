"""The page and the README of a study: verdicts first, then figures, numbers, and how it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etastar.core.estimate import Estimate
from etastar.reports.parts import Card, Page, Table
from etastar.studies.claim import Conclusion, Verdict

if TYPE_CHECKING:
    from etastar.studies.run import StudyAnswer

COLOURS = {Verdict.AGREES: "#2a9d6f", Verdict.DIFFERS: "#c8372d", Verdict.CANNOT_TELL: "#8a94a0"}


def study_page(answer: StudyAnswer) -> Page:
    """Verdicts as cards, the findings, and how they were measured."""
    return Page(
        kind="Study",
        title=answer.study.title,
        summary=answer.study.question,
        numbers=[_card(c) for c in answer.conclusions],
        flags=[("source", answer.study.source), *_cut(answer)],
        sections=answer.findings.sections,
        tables=[_claims_table(answer), *_numbers_table(answer), *answer.findings.tables, _how_table(answer)],
        charts=answer.findings.charts,
    )


def claim_tables(answer: StudyAnswer) -> list[Table]:
    """The verdicts, for a terminal."""
    rows = tuple((c.claim.name, c.verdict.value, c.measured, c.claim.source) for c in answer.conclusions)
    return [Table("", ("claim", "verdict", "measured", "whose"), rows)]


def cost_lines(answer: StudyAnswer) -> list[str]:
    """What the measurements took, and where the page is."""
    cost = answer.cost
    return [
        f"cost: {cost['cpu_seconds']:,.0f} CPU seconds for {len(answer.rows)} of {answer.planned} measurements, "
        f"{cost['measured_now']:g} of them now, in {cost['seconds']:.1f} s",
        f"page: {answer.folder / 'index.html'}",
    ]


def _cut(answer: StudyAnswer) -> list[tuple[str, str]]:
    if answer.complete:
        return []
    left = answer.planned - len(answer.rows)
    return [("time-limit", f"{left} of {answer.planned} measurements are still missing; the same command goes on.")]


def _card(c: Conclusion) -> Card:
    return Card(c.claim.name, c.verdict.value, _measured(c.estimate), c.claim.statement, COLOURS[c.verdict])


def _measured(e: Estimate) -> str:
    if e.value is None:
        return f"no value: {e.reason}"
    return f"{e.value:.3g} ({100 * e.level:g} %: {e.low:.3g} to {e.high:.3g})"


def _claims_table(answer: StudyAnswer) -> Table:
    head = ("claim", "verdict", "whose it is, what is measured, on which members, and the rule that was declared beforehand")
    rows = tuple(
        (c.claim.name, c.verdict.value, f"{_capital(c.claim.source)}: {c.claim.quantity}. On: {c.claim.region}. {_rule(c)}.")
        for c in answer.conclusions
    )
    return Table("The claims and their rules", head, rows)


def _rule(c: Conclusion) -> str:
    return _capital(c.claim.rule.sentence())


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _numbers_table(answer: StudyAnswer) -> list[Table]:
    rows = tuple(
        (name, "-" if e.value is None else f"{e.value:.3g}", _interval(e), what if e.ok else f"{what}: {e.reason}")
        for name, e, what in answer.findings.numbers
    )
    return [Table("Numbers", ("", "value", "90 % interval", ""), rows)] if rows else []


def _interval(e: Estimate) -> str:
    return "" if e.low is None or e.high is None else f"{e.low:.3g} to {e.high:.3g}"


def _how_table(answer: StudyAnswer) -> Table:
    where, cost = answer.environment, answer.cost
    rows = [
        ("measurements", f"{len(answer.rows)} of {answer.planned}; {cost['measured_now']:g} of them in this run"),
        ("cost", f"{cost['cpu_seconds']:,.0f} CPU seconds for all of them"),
        *((name.replace("_", " "), str(value)) for name, value in answer.study.declared.items()),
        ("effort, seed", f"{answer.setting.effort}, {answer.setting.seed}"),
        ("environment", f"Python {where['python']}, torch {where['torch']}, {where['machine']}, {where['cpus']} CPUs"),
        ("to reproduce", f"etastar {where['etastar']}: {answer.command_line}"),
    ]
    if answer.study.uses_data:
        rows.insert(0, ("data", answer.setting.data.in_words()))
    return Table("How it was measured", (), tuple(rows))


def readme(answer: StudyAnswer) -> str:
    """README.md of the record."""
    lines = [
        f"# {answer.study.title}",
        "",
        answer.study.question,
        "",
        answer.study.source,
        "",
        f"`{answer.command_line}`",
        "",
    ]
    cost = f"{len(answer.rows)} of {answer.planned} measurements, {answer.cost['cpu_seconds']:,.0f} CPU seconds"
    lines += [f"{cost}; data: {answer.setting.data.in_words()}" if answer.study.uses_data else cost, ""]
    lines += _markdown(
        ("claim", "verdict", "measured", "statement", "whose"),
        [(c.claim.name, c.verdict.value, c.measured, c.claim.statement, c.claim.source) for c in answer.conclusions],
    )
    if answer.findings.numbers:
        rows = [
            (n, "-" if e.value is None else f"{e.value:.3g}", _interval(e), what) for n, e, what in answer.findings.numbers
        ]
        lines += ["", "## Numbers", "", *_markdown(("", "value", "90 % interval", ""), rows)]
    for table in answer.findings.tables:
        head = table.head or tuple("" for _ in table.rows[0])
        lines += ["", f"## {table.title}", "", *_markdown(head, table.rows)]
    return "\n".join(lines) + "\n"


def _markdown(head: tuple[str, ...], rows: object) -> list[str]:
    clean = lambda cells: "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |"
    return [clean(head), "|" + "---|" * len(head), *map(clean, rows)]  # type: ignore[call-overload]
