"""What an effort's rate loses, what its interval holds, whom it harms: cell by cell, and over tasks that are resampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.basins.tasks import DEFAULTS, Cell
from benchmarks.basins.truth import NATS, SHARE, Row, Truth
from benchmarks.shares import by_task, clopper_pearson, holm_below, over_tasks
from etastar.designs.best_rate.best_rate import BestRate

HARM = 0.01
"""Nats worse than the default rate that count; and `NATS` that count as harm."""
CEILING = 0.85
"""Share of a task's answers whose interval should hold the middle of the good rates."""
Table = Callable[[list[str], list[list[Any]]], str]


def cell_of(name: str) -> Cell:
    """The cell called task/optimizer/schedule/steps."""
    task, optimizer, schedule, steps = name.split("/")
    return Cell(task, optimizer, schedule, int(steps))


def answer_row(cell: Cell, effort: str, seed: int, best: BestRate) -> Row:
    """What an effort said."""
    lr = best.lr
    return {
        "kind": "answer", "cell": cell.name, "effort": effort, "seed": seed, "status": lr.status.value, "lr": lr.value,
        "low": lr.low, "high": lr.high, "cost": best.full_runs, "flags": list(lr.flags),
    }  # fmt: skip


def rate_row(cell: Cell, method: str, lr: float) -> Row:
    """A rate that costs nothing and has no interval."""
    return {
        "kind": "answer", "cell": cell.name, "effort": method, "seed": 0, "status": "ok", "lr": lr, "low": None,
        "high": None, "cost": 0.0, "flags": [],
    }  # fmt: skip


def scored(row: Row, truth: Truth) -> Row:
    """The same with what is true of it; no rate loses everything and harms."""
    lr, found = row["lr"], {"task": truth.cell.task, "steps": truth.cell.steps}
    if lr is None:
        lost = {"regret": math.inf, "good": False, "close": False, "worse": True, "harmed": True, "holds": None}
        return row | found | lost | {"width": None}
    regret, harm = truth.regret(lr), truth.at(lr) - truth.at(DEFAULTS[truth.cell.optimizer])
    found |= {"regret": regret, "good": regret < NATS, "close": truth.ratio(lr) <= SHARE}
    found |= {"worse": harm > HARM, "harmed": harm > NATS, "holds": None, "width": None}
    if row["low"] is not None:
        found |= {"holds": row["low"] <= 10**truth.centre <= row["high"], "width": math.log10(row["high"] / row["low"])}
    return row | found


def methods_table(rows: Sequence[Row], table: Table) -> str:
    """A line an effort and horizon."""
    head = [
        "effort", "steps", "answers", "full runs (most)", "< .05 nats", "tasks resampled, 95 %", "within 5 % of the loss",
        "tasks resampled, 95 %", "worse than the default by > .01 / > .05 nats", "interval holds, Clopper-Pearson 95 %",
        "width, decades",
    ]  # fmt: skip
    groups = dict.fromkeys((r["effort"], r["steps"]) for r in rows)
    own = lambda effort, steps: [r for r in rows if (r["effort"], r["steps"]) == (effort, steps)]
    return table(head, [[effort, steps, *_line(own(effort, steps))] for effort, steps in groups])


def _line(rows: Sequence[Row]) -> list[str]:
    mean = lambda key: float(np.mean([r[key] for r in rows]))
    spread = lambda key: "{1:.0%} .. {2:.0%}".format(*over_tasks(by_task(rows, _task, lambda r: r[key]).values()))
    held = [r for r in rows if r["holds"] is not None]
    width = f"{np.median([r['width'] for r in held]):.2f}" if held else ""
    cost = f"{mean('cost'):.2f} ({max(r['cost'] for r in rows):.2f})"
    return [
        str(len(rows)), cost, f"{mean('good'):.0%}", spread("good"), f"{mean('close'):.0%}", spread("close"),
        f"{mean('worse'):.0%} / {mean('harmed'):.0%}", _held(held), width,
    ]  # fmt: skip


def _task(row: Row) -> str:
    return row["task"]


def _held(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    count = sum(r["holds"] for r in rows)
    return "{}/{} = {:.0%} ({:.0%} .. {:.0%})".format(
        count, len(rows), count / len(rows), *clopper_pearson(count, len(rows))
    )


def tasks_table(before: Sequence[Row], after: Sequence[Row], table: Table) -> str:
    """A line a task and effort: shares before and after, worst first."""
    head = ["task", "effort", "< .05 nats", "within 5 %", "mean nats lost", "interval holds, Clopper-Pearson 95 %"]
    groups = dict.fromkeys((r["task"], r["effort"]) for r in after if r["holds"] is not None)
    lines = []
    for task, effort in groups:
        pair = [[r for r in rows if (r["task"], r["effort"]) == (task, effort)] for rows in (before, after)]
        count = lambda key, some: f"{sum(r[key] for r in some)}/{len(some)}"
        lost = [float(np.mean([min(r["regret"], 10.0) for r in some])) for some in pair]
        both = lambda texts: " -> ".join(texts)
        lines.append(
            (lost[1], [task, effort, *(both(count(key, some) for some in pair) for key in ("good", "close")),
             both(f"{x:+.3f}" for x in lost), both([_held(pair[0]).split(" = ")[0], _held(pair[1])])])
        )  # fmt: skip
    return table(head, [line for _, line in sorted(lines, key=lambda item: -item[0])])


def surely_short(rows: Sequence[Row], effort: str) -> int:
    """Tasks whose intervals hold less than `CEILING` for sure, Holm's correction over the tasks."""
    held = [r for r in rows if r["effort"] == effort and r["holds"] is not None]
    counts = lambda of: by_task(held, _task, of)
    sizes = {task: sum(r["task"] == task for r in held) for task in counts(lambda r: 1.0)}
    return holm_below(
        [(round(share * sizes[task]), sizes[task]) for task, share in counts(lambda r: r["holds"]).items()], CEILING
    )
