"""What the bake-off found: the cases we lose first, a table a horizon, both bars, harm, coverage by task, and the record."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bakeoff import bars, frontier, ours
from benchmarks.bakeoff.recorded import BEFORE, NOTE, USUAL
from benchmarks.bakeoff.score import NATS, Score, by_task, lr_free, paired, summary
from benchmarks.bakeoff.tasks import HORIZONS, TASKS
from benchmarks.bakeoff.truth import finished

RECORDS = Path(__file__).parents[1] / "records"
PICTURE = "![Share of cases that lose < 0.05 nats against cost at seven horizons; bars: tasks resampled](frontier.png)"
EFFORTS = tuple(ours.method(budget) for budget in ours.BUDGETS)
OURS = EFFORTS[-1]


def tables(found: list[Score]) -> str:
    """The results as Markdown."""
    parts = [origin(found), ""]
    parts += section(
        "Cases that ours lose, worst first", ["case", "method", "rates", "nats lost", "loss / the best's"], losing(found)
    )
    head = ["method", "steps", "minus", "tasks", "difference of the share < 0.05 nats", "95 %, tasks resampled"]
    parts += section("Ours, minus what is free and minus ours of 22 November", head, changed(found))
    for steps in HORIZONS:
        rows = summary(found, steps)
        if rows:
            parts += [f"## {steps} steps", "", method_table(rows), ""]
            head = ["against", "tasks", "difference of the share < 0.05 nats", "95 %, tasks resampled"]
            lines = [[m, n, f"{d:+.2f}", f"{low:+.2f} .. {high:+.2f}"] for m, n, d, low, high in paired(found, OURS, steps)]
            parts += [f"{OURS} minus each other method, on the cases both have:", "", *markdown(head, lines), ""]
            parts += ["Stricter bars:", "", *markdown(bars.HEAD, bars.bars(bars.rows_of(found), steps)), ""]
    for method in EFFORTS:
        held = bars.coverage(found, method)
        parts += section(f"Coverage by task: {method}", bars.COVERAGE, held)
        lost = [[task, f"{nats:.0%}", f"{points:.0%}"] for task, (nats, points) in by_task(found, method).items()]
        parts += section(f"By task: {method}", ["task", "% < 0.05 nats", "% < 1 point"], lost)
    parts += section("What a search of ours takes, medians", ["method", "steps", "seconds", "CPU seconds"], taken(found))
    head = ["optimizer", "steps", "runs", "% < 0.05 nats of the best tuned SGD or Adam", "% failed", "median nats lost"]
    free = [
        [r["method"], r["steps"], r["runs"], f"{r['nats']:.0%}", f"{r['failed']:.0%}", f"{r['median']:.3f}"]
        for r in lr_free()
    ]
    parts += section("LR-free optimizers", head, free)
    return "\n".join([*parts, *policies()])


def policies() -> list[str]:
    """Policies and Psi, each at its own peak and for as many trainings: the table of their newest record."""
    newest = max(RECORDS.glob("*_policies"))
    paragraphs = (newest / "README.md").read_text().split("\n\n")
    at = next(i for i, text in enumerate(paragraphs) if text.startswith("| policy |"))
    title = f"## Policies and Psi, each at its own peak (record {newest.name})"
    return ["\n\n".join([title, *paragraphs[at - 1 : at + 1]])]


def origin(found: Iterable[Score]) -> str:
    """What was trained for this, and what an earlier record tells."""
    cases, trained = {one.case for one in found}, set(finished())
    combinations = {case.rpartition("/")[0] for case in cases}
    told = sum(case.rpartition("/")[0] not in trained for case in cases)
    text = f"{len(combinations)} combinations of task, optimizer and schedule; {len(cases)} cases."
    if told:
        text += f" The curves of {told} of them are what the record of 22 November tells of its own, with the loss at"
        text += " the best rate trained again; the others' were trained."
    if any(one.row.get("note") == NOTE for one in found):
        text += " Peers' rates are those of that record (`before:` are ours in it), scored again beside today's searches."
    return text


def losing(found: Iterable[Score]) -> list[list[str]]:
    """A line a case that one of ours loses on the mean over seeds; those where it once had no rate come first."""
    own: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in found:
        if one.method in EFFORTS:
            own[one.case, one.method].append(one)
    lines = []
    for key, some in own.items():
        told = [one for one in some if one.row["lr"] is not None]
        lost, ratio = (statistics.fmean(map(of, told)) for of in (lambda one: one.regret, lambda one: one.ratio))
        if lost >= NATS or len(told) < len(some):
            rates = ", ".join("none" if one.row["lr"] is None else f"{one.lr:.2g}" for one in some)
            lines.append(((len(told) == len(some), -lost), [*key, rates, f"{lost:+.3f}", f"{ratio:.2f}"]))
    return [line for _, line in sorted(lines)]


def changed(found: list[Score]) -> list[list[str]]:
    """Each effort minus its earlier self and minus the usual rate: share < 0.05 nats, tasks weighted equally."""
    lines = []
    for steps in HORIZONS:
        for method in EFFORTS:
            for other, tasks, by, low, high in paired(found, method, steps):
                if other in (USUAL, BEFORE + method):
                    lines.append([method, str(steps), other, str(tasks), f"{by:+.2f}", f"{low:+.2f} .. {high:+.2f}"])
    return lines


def taken(found: Iterable[Score]) -> list[list[str]]:
    """Wall and CPU seconds of our searches."""
    lines = []
    for method in EFFORTS:
        for steps in HORIZONS:
            rows = [one.row for one in found if (one.method, one.steps) == (method, steps)]
            middle = lambda key, rows=rows: f"{statistics.median(row[key] for row in rows):.2f}"
            lines += [[method, steps, middle("seconds"), middle("cpu")]] if rows else []
    return lines


def method_table(rows: list[dict[str, Any]]) -> str:
    """One line a method, cheapest first."""
    head = ["method", "cases x seeds", "full runs", "% < 0.05 nats", "% < 1 point", "% failed", "log10 off", "spread"]
    head += ["centre inside, 90 % Wilson", "width, decades"]
    return "\n".join(markdown(head, list(map(_line, rows))))


def _line(r: dict[str, Any]) -> list[str]:
    inside = "" if r["held"] is None else f"{r['held']:.0%} ({r['held_interval'][0]:.0%} .. {r['held_interval'][1]:.0%})"
    shares = [f"{r['nats']:.0%}", f"{r['points']:.0%}", f"{r['failed']:.1%}"]
    spread = "" if r["spread"] is None else f"{r['spread']:.1f}x"
    width = "" if r["width"] is None else f"{r['width']:.2f}"
    return [
        r["method"],
        f"{r['cases']} x {r['seeds']}",
        f"{r['cost']:.2f}",
        *shares,
        f"{r['off']:.2f}",
        spread,
        inside,
        width,
    ]


def write(found: list[Score]) -> None:
    """The record: tables, one line a case and method, the settings and where it was made."""
    from benchmarks.run import environment

    folder = RECORDS / f"{datetime.now(UTC):%Y-%m-%d}_bakeoff"
    folder.mkdir(parents=True, exist_ok=True)
    carried = any(one.row.get("note") == NOTE for one in found)
    command = "python -m benchmarks.bakeoff --carried" if carried else "make bakeoff"
    (folder / "README.md").write_text(f"# The bake-off\n\n`{command}`\n\n{PICTURE}\n\n{tables(found)}\n")
    config = {"tasks": list(TASKS), "horizons": list(HORIZONS), "budgets": list(ours.BUDGETS), "seeds": str(ours.SEEDS)}
    (folder / "config.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items()))
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
    own: dict[tuple[str, str], list[Score]] = defaultdict(list)
    for one in found:
        own[one.case, one.method].append(one)
    lines = (json.dumps(_row(case, method, some)) for (case, method), some in sorted(own.items()))
    (folder / "results.jsonl").write_text("".join(f"{line}\n" for line in lines))
    frontier.draw(folder)


def _row(case: str, method: str, some: list[Score]) -> dict[str, Any]:
    """One line of the record; searches without a rate stand in `points` alone."""
    told = [one for one in some if one.row["lr"] is not None]
    row = {"case": case, "method": method, "lr": [round(one.lr, 8) for one in told]}
    row |= {"regret": [round(one.regret, 4) for one in told], "ratio": [round(one.ratio, 4) for one in told]}
    row |= {"points": [round(one.points, 2) for one in some], "cost": round(statistics.fmean(one.cost for one in some), 3)}
    if method in EFFORTS:
        row |= {key: [one.row[key] and round(one.row[key], 8) for one in told] for key in ("low", "high", "seconds", "cpu")}
        row |= {
            "covers": [one.covers for one in told],
            "near": [one.near for one in told],
            "note": [one.row["note"] for one in told],
        }
    return row


def section(title: str, head: Sequence[str], lines: Sequence[Sequence[Any]]) -> list[str]:
    """A heading and its table; nothing without lines."""
    return [f"## {title}", "", *markdown(head, lines), ""] if lines else []


def markdown(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> list[str]:
    """A table.

    >>> markdown(["a", "b"], [[1, 2]])
    ['| a | b |', '|---|---|', '| 1 | 2 |']
    """
    cells = ["| " + " | ".join(map(str, line)) + " |" for line in (head, *lines)]
    return [cells[0], "|" + "---|" * len(head), *cells[1:]]
