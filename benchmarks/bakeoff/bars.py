"""The stricter bars: within 5 % of the oracle's loss, worse than torch's default, ranges over tasks, coverage by task.

`python -m benchmarks.bakeoff.bars [RECORD]` prints what a record's rows carry: ranges and harm. Loss ratios and intervals
are not among them, and need the searches themselves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bakeoff.score import NATS, Score
from benchmarks.shares import by_task, clopper_pearson, over_tasks

RECORD = Path(__file__).parents[1] / "records" / "2026-11-22_bakeoff"
DEFAULTS = {"momentum": "default 0.01", "adam": "default 0.001", "adamw": "default 0.001"}
"""optimizer -> the method that nobody pays for: torch's default, but for SGD, whose 1e-3 nobody uses."""
SHARE, HARM = 1.05, 0.01
"""A loss that is at most so many times the oracle's is within the second bar; nats worse than the default that count."""
Row = dict[str, Any]


def rows_of(found: Iterable[Score]) -> list[Row]:
    """One row a case and method, as records keep them, with loss ratios and what intervals held."""
    own: dict[tuple[str, str], Row] = {}
    for one in found:
        row = own.setdefault((one.case, one.method), {"case": one.case, "method": one.method})
        for key, value in (("regret", one.regret), ("ratio", one.ratio), ("covers", one.covers)):
            row.setdefault(key, []).append(value)
    return list(own.values())


def bars(rows: Sequence[Row], steps: int) -> list[list[str]]:
    """A line a method: both bars with ranges over tasks, and how often it is worse than the default.

    A search without a rate loses everything. Records leave those out of the regrets; their failures count them.
    """
    rows = [row for row in rows if row["case"].endswith(f"/{steps}")]
    default = {row["case"]: row["regret"][0] for row in rows if row["method"] == DEFAULTS[row["case"].split("/")[1]]}
    lines = []
    for method in sorted({row["method"] for row in rows}):
        own = [row for row in rows if row["method"] == method and row["regret"]]
        near = over_tasks(by_task(own, _task, _near).values())
        close = over_tasks(by_task(own, _task, _close).values()) if all("ratio" in row for row in own) else None
        paired = [row for row in own if row["case"] in default]
        worse = lambda bar, some=paired: f"{np.mean([_worse(row, default[row['case']], bar) for row in some]):.0%}"
        harm = f"{worse(HARM)} / {worse(NATS)}" if paired else ""
        lines.append([method, str(len(own)), _said(near), "" if close is None else _said(close), harm])
    return lines


HEAD = [
    "method",
    "cases",
    "< .05 nats, tasks weighted equally",
    "within 5 % of the loss",
    "> .01 / > .05 worse than the default",
]


COVERAGE = ["task", "interval holds the middle", "Clopper-Pearson, 95 %", "of the good rates around the best alone"]


def coverage(found: Iterable[Score], method: str) -> list[list[str]]:
    """A line a task: how many of the intervals hold the middle of the good rates, worst first; of the island, too."""
    some = [one for one in found if one.method == method and one.covers is not None]
    own = {task: [one for one in some if one.task == task] for task in {one.task for one in some}}
    held = {task: sum(bool(one.covers) for one in group) for task, group in own.items()}
    lines = []
    for task in sorted(own, key=lambda task: (held[task] / len(own[task]), task)):
        n, near = len(own[task]), sum(bool(one.near) for one in own[task])
        lines.append([task, f"{held[task]}/{n}", _exact(held[task], n), f"{near}/{n} = {_exact(near, n)}"])
    return lines


def _exact(held: int, n: int) -> str:
    return "{:.0%} ({:.0%} .. {:.0%})".format(held / n, *clopper_pearson(held, n))


def _task(row: Row) -> str:
    return row["case"].split("/")[0]


def _near(row: Row) -> float:
    return float(np.mean([lost < NATS for lost in row["regret"]]))


def _close(row: Row) -> float:
    return float(np.mean([ratio <= SHARE for ratio in row["ratio"]]))


def _worse(row: Row, default: float, bar: float) -> float:
    return float(np.mean([lost - default > bar for lost in row["regret"]]))


def _said(share: tuple[float, float, float]) -> str:
    return "{:.0%} ({:.0%} .. {:.0%})".format(*share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", nargs="?", type=Path, default=RECORD)
    lines = (parser.parse_args().record / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for steps in sorted({int(row["case"].rpartition("/")[2]) for row in rows}):
        print(f"## {steps} steps\n")
        for line in (HEAD, ["---"] * len(HEAD), *bars(rows, steps)):
            print("| " + " | ".join(line) + " |")
        print()


if __name__ == "__main__":
    main()
