"""The record's tables: losing cells first, then efforts before and after, tasks, settings left out, real trainings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.basins.score import CEILING
from benchmarks.basins.truth import NATS, Row
from benchmarks.shares import by_task, clopper_pearson, holm_below, over_tasks

BAR = 0.85
"""Share of a task's answers whose interval should hold the middle of the good rates."""
BARS = {"good": "< .05 nats", "close": "within 5 %"}
Table = Callable[[list[str], list[list[Any]]], str]


def summary(before: Sequence[Row], rows: Sequence[Row], table: Table) -> str:
    """The record as Markdown.

    Args:
        before: answers of the code that `rows` are compared with.
    """
    answers = [r for r in rows if r["kind"] == "answer"]
    after, real = ([r for r in answers if ("trained" in r["effort"]) is own] for own in (False, True))
    told = {r["cell"] for r in after}
    before = [r for r in before if r["cell"] in told]
    parts = [
        f"{len(told)} cells of {len({r['task'] for r in after})} tasks, 3 seeds each; truth: 17 rates x 6 seeds.",
        "Losing cells (an effort lost more than .05 nats on the mean, or its interval missed with most seeds), worst first:",
        losing(after, table),
        "Before:", methods(before, table), "After:", methods(after, table),
        "The noise ceiling: the best of nine rates half a decade apart, each trained in full with one seed (five, none of"
        " which is the truth's). `quick` less that ceiling: " + "; ".join(below_ceiling(after)) + ".",
        "By task, both horizons, before -> after, worst first:", tasks(before, after, table),
        "Tasks whose intervals hold the middle of the good rates in less than 85 % for sure (Holm, 5 %), before -> after: "
        + "; ".join(f"{e} {surely_short(before, e)} -> {surely_short(after, e)}" for e in ("glance", "quick", "thorough")),
        "Settings of the last look chosen on the other tasks, and what they give on the one left out (starts off by -1, 0, 1"
        " decades):", left_out([r for r in rows if r["kind"] == "left out"], table),
        "`find --effort quick` trained for real against its replay (seed 0):", replays(after, real, table),
    ]  # fmt: skip
    return "\n\n".join(parts)


def losing(rows: Sequence[Row], table: Table) -> str:
    """Cells on which an effort fails, with what it said."""
    lines = []
    for cell, effort in dict.fromkeys((r["cell"], r["effort"]) for r in rows if r["holds"] is not None):
        own = [r for r in rows if (r["cell"], r["effort"]) == (cell, effort)]
        lost, missed = float(np.mean([min(r["regret"], 10.0) for r in own])), sum(not r["holds"] for r in own)
        if lost > NATS or missed > len(own) / 2:
            said = ", ".join("none" if r["lr"] is None else f"{r['lr']:.2g}" for r in own)
            flags = ", ".join(dict.fromkeys(flag for r in own for flag in r["flags"]))
            lines.append((lost, [cell, effort, said, f"{lost:+.3f}", f"{missed} of {len(own)}", flags]))
    return table(
        ["cell", "effort", "rates", "nats lost", "missed", "flags"], [x for _, x in sorted(lines, key=lambda y: -y[0])]
    )


def methods(rows: Sequence[Row], table: Table) -> str:
    """A line an effort and horizon."""
    head = [
        "effort", "steps", "answers", "full runs (most)", "< .05 nats", "tasks resampled, 95 %", "within 5 % of the loss",
        "tasks resampled, 95 %", "worse than the default by > .01 / > .05 nats", "interval holds, Clopper-Pearson 95 %",
        "width, decades",
    ]  # fmt: skip
    groups = dict.fromkeys((r["effort"], r["steps"]) for r in rows)
    own = lambda effort, steps: [r for r in rows if (r["effort"], r["steps"]) == (effort, steps)]
    return table(head, [[effort, steps, *_line(own(effort, steps))] for effort, steps in sorted(groups, key=_order)])


def below_ceiling(rows: Sequence[Row]) -> list[str]:
    """How far `quick` is from the noise ceiling, in points, at every horizon and bar; tasks resampled."""
    found = []
    for steps, (key, bar) in itertools.product(dict.fromkeys(r["steps"] for r in rows), BARS.items()):
        own, ideal = (
            by_task([r for r in rows if (r["effort"], r["steps"]) == (e, steps)], _task, lambda r, k=key: r[k])
            for e in ("quick", CEILING)
        )
        off = over_tasks([own[task] - ideal[task] for task in own])
        found.append("{} steps, {} {:+.0f} ({:+.0f} .. {:+.0f})".format(steps, bar, *(100 * x for x in off)))
    return found


def _order(group: tuple[str, int]) -> tuple[int, int]:
    return ["usual rate", "glance", "quick", CEILING, "thorough"].index(group[0]), group[1]


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
    count, n = sum(r["holds"] for r in rows), len(rows)
    return "{}/{} = {:.0%} ({:.0%} .. {:.0%})".format(count, n, count / n, *clopper_pearson(count, n))


def tasks(before: Sequence[Row], after: Sequence[Row], table: Table) -> str:
    """A line a task and effort, worst first."""
    head = ["task", "effort", "< .05 nats", "within 5 %", "mean nats lost", "interval holds, Clopper-Pearson 95 %"]
    lines = []
    for task, effort in dict.fromkeys((r["task"], r["effort"]) for r in after if r["holds"] is not None):
        pair = [[r for r in rows if (r["task"], r["effort"]) == (task, effort)] for rows in (before, after)]
        count = lambda key, some: f"{sum(r[key] for r in some)}/{len(some)}"
        lost = [float(np.mean([min(r["regret"], 10.0) for r in some])) for some in pair if some]
        shares = [" -> ".join(count(key, some) for some in pair) for key in ("good", "close")]
        held = " -> ".join([_held(pair[0]).split(" = ")[0], _held(pair[1])])
        lines.append((lost[-1], [task, effort, *shares, " -> ".join(f"{x:+.3f}" for x in lost), held]))
    return table(head, [line for _, line in sorted(lines, key=lambda item: -item[0])])


def surely_short(rows: Sequence[Row], effort: str) -> int:
    """Tasks whose intervals hold less than `BAR` for sure."""
    held = [r for r in rows if r["effort"] == effort and r["holds"] is not None]
    counts = [[r["holds"] for r in held if r["task"] == task] for task in dict.fromkeys(map(_task, held))]
    return holm_below([(sum(some), len(some)) for some in counts], BAR)


def left_out(rows: Sequence[Row], table: Table) -> str:
    """What the settings of the other tasks give, a line a task, and all together."""
    keys = ("good", "close", "harmed", "holds")
    shown = lambda r: [f"{r[key]:.0%}" for key in keys]
    lines = [[r["task"], r["STEEP"], r["NOISE"], r["FASTER"], r["BACK"], r["searches"], *shown(r)] for r in rows]
    whole = {key: float(np.average([r[key] for r in rows], weights=[r["searches"] for r in rows])) for key in keys}
    lines.append(["all", "", "", "", "", sum(r["searches"] for r in rows), *shown(whole)])
    head = ["task left out", "STEEP", "NOISE", "FASTER", "BACK", "searches", "< .05 nats", "within 5 %"]
    return table([*head, "> .05 worse than the default", "interval holds"], lines)


def replays(after: Sequence[Row], real: Sequence[Row], table: Table) -> str:
    """How far a replay is from what it stands for."""
    again = {r["cell"]: r for r in after if r["effort"] == "quick" and r["seed"] == 0}
    pair = [[r for r in real if r["cell"] in again], [again[r["cell"]] for r in real if r["cell"] in again]]
    mean = lambda key, some: float(np.mean([bool(r[key]) for r in some]))
    lost = lambda some: float(np.median([min(r["regret"], 10.0) for r in some]))
    lines = [
        [name, len(some), f"{mean('good', some):.0%}", f"{mean('close', some):.0%}", f"{lost(some):+.4f}", _held(some)]
        for name, some in zip(("trained", "replayed"), pair, strict=True)
    ]
    return table(["searches", "cells", "< .05 nats", "within 5 %", "median nats lost", "interval holds"], lines)
