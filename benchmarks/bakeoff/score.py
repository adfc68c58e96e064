"""Scores every suggestion on the same curves: what a rate loses against the oracle, what it cost, what it holds."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bakeoff.anchors import anchored
from benchmarks.bakeoff.curves import FOLDER
from benchmarks.bakeoff.recorded import USUAL, told
from benchmarks.bakeoff.tasks import HORIZONS, TASKS, Case
from benchmarks.bakeoff.truth import Truth, finished, truth
from benchmarks.coverage import wilson

NATS, POINTS = 0.05, 1.0
"""A case is good if it loses less than this."""


@dataclass(frozen=True)
class Score:
    """One suggestion, scored.

    Args:
        row: the suggestion, as `rows.suggestion` keeps it; of our searches also `low`, `high` and `cpu`.
        regret: nats lost against the oracle's rate; `ratio`: the loss over the oracle's; `points`: of accuracy.
        off: log10 of the rate over the oracle's.
        covers: whether its interval holds the middle of the good rates; None without one. `width`: in decades.
        near: whether it holds the middle of those around the best.
    """

    row: dict[str, Any]
    regret: float
    ratio: float
    points: float
    failed: bool
    off: float
    covers: bool | None = None
    width: float | None = None
    near: bool | None = None

    @property
    def case(self) -> str:
        """task/optimizer/schedule/steps."""
        return self.row["case"]

    @property
    def method(self) -> str:
        """What tables call it."""
        return self.row["method"]

    @property
    def task(self) -> str:
        """The case's."""
        return self.case.split("/")[0]

    @property
    def steps(self) -> int:
        """The case's horizon."""
        return int(self.case.rpartition("/")[2])

    @property
    def lr(self) -> float:
        """The rate; nan without one."""
        return math.nan if self.row["lr"] is None else self.row["lr"]

    @property
    def cost(self) -> float:
        """In full runs."""
        return self.row["steps"] / self.steps


def case_of(name: str) -> Case:
    """The case called task/optimizer/schedule/steps."""
    task, optimizer, schedule, steps = name.split("/")
    return Case(TASKS[task], optimizer, schedule, int(steps))


@cache
def _truth(name: str) -> Truth:
    case, combination = case_of(name), name.rpartition("/")[0]
    return truth(case) if combination in _finished() else told(case)


@cache
def _finished() -> set[str]:
    return set(finished())


def scorable() -> set[str]:
    """Cases whose curves are there, or told by a record and anchored."""
    own = {f"{combination}/{steps}" for combination in _finished() for steps in HORIZONS}
    return own | set(anchored())


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file."""
    if path.exists():
        yield from map(json.loads, filter(None, path.read_text().splitlines()))


def scores() -> list[Score]:
    """Every suggestion for a case that can be scored, and the usual rates; no rate counts as a failure."""
    known = scorable()
    suggested = [row for row in rows(FOLDER / "suggestions.jsonl") if row["case"] in known]
    return [score(row) for row in (*suggested, *usual_rates(sorted(known)))]


def usual_rates(known: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The strongest free baseline: the median best rate of the other tasks, for the case's own schedule and horizon."""
    for name in known:
        task, _, kind = name.partition("/")
        others = [other for other in known if other.partition("/")[2] == kind and other.partition("/")[0] != task]
        if others:
            lr = 10 ** statistics.median(_truth(other).oracle for other in others)
            yield {"case": name, "method": USUAL, "seed": 0, "lr": lr, "steps": 0}


def paired(found: Iterable[Score], ours: str, steps: int, draws: int = 4000) -> list[tuple[str, int, float, float, float]]:
    """(method, tasks, difference of the share within 0.05 nats, 95 % interval): `ours` minus each other, on the same cases.

    Tasks are resampled, since cases of one task resemble each other.
    """
    good: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        if one.steps == steps:
            good[one.method][one.case].append(one.regret < NATS)
    mine, rng, rows = good[ours], np.random.default_rng(0), []
    for method, theirs in sorted(good.items()):
        by_task: dict[str, list[float]] = defaultdict(list)
        for case in mine.keys() & theirs.keys():
            by_task[case.split("/")[0]].append(statistics.fmean(mine[case]) - statistics.fmean(theirs[case]))
        means = np.array([statistics.fmean(values) for values in by_task.values()])
        if method == ours or not len(means):
            continue
        drawn = means[rng.integers(0, len(means), (draws, len(means)))].mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows.append((method, len(means), float(means.mean()), float(low), float(high)))
    return rows


def score(row: dict[str, Any]) -> Score:
    """One row of suggestions.jsonl, scored; without a rate it loses everything."""
    true, lr = _truth(row["case"]), row["lr"]
    if lr is None:
        return Score(row, math.inf, math.inf, 100.0, failed=True, off=math.nan)
    covers = width = near = None
    if row.get("low") and row.get("high"):
        covers = bool(row["low"] <= 10**true.centre <= row["high"])
        near = bool(row["low"] <= 10**true.middle <= row["high"])
        width = math.log10(row["high"] / row["low"])
    off = math.log10(lr) - true.oracle
    return Score(row, true.regret(lr), true.ratio(lr), true.accuracy_lost(lr), true.fails(lr), off, covers, width, near)


def summary(found: Iterable[Score], steps: int) -> list[dict[str, Any]]:
    """One row a method, at one horizon; cases weigh the same however many seeds they have."""
    by_method: dict[str, list[Score]] = defaultdict(list)
    for one in found:
        if one.steps == steps:
            by_method[one.method].append(one)
    return sorted((_method(name, own) for name, own in by_method.items()), key=lambda row: (row["cost"], row["method"]))


def _method(name: str, own: list[Score]) -> dict[str, Any]:
    cases: dict[str, list[Score]] = defaultdict(list)
    for one in own:
        cases[one.case].append(one)
    mean = lambda of: statistics.fmean(statistics.fmean(map(of, some)) for some in cases.values())
    with_interval = [one for one in own if one.covers is not None]
    held = sum(one.covers for one in with_interval if one.covers)
    spreads = [max(s.lr for s in some) / min(s.lr for s in some) for some in cases.values() if len(some) > 2]
    known = [one for one in own if not math.isnan(one.off)]
    return {
        "method": name,
        "cases": len(cases),
        "seeds": " - ".join(map(str, sorted({min(map(len, cases.values())), max(map(len, cases.values()))}))),
        "nats": mean(lambda one: one.regret < NATS),
        "points": mean(lambda one: one.points < POINTS),
        "failed": mean(lambda one: one.failed),
        "off": statistics.fmean(abs(one.off) for one in known),
        "spread": statistics.median(x for x in spreads if x == x) if spreads else None,
        "cost": statistics.fmean(one.cost for one in own),
        "held": held / len(with_interval) if with_interval else None,
        "held_interval": wilson(held, len(with_interval), 0.9) if with_interval else None,
        "width": statistics.median(one.width for one in with_interval if one.width) if with_interval else None,
    }


def by_task(found: Iterable[Score], method: str) -> dict[str, tuple[float, float]]:
    """Task -> (share within 0.05 nats, share within 1 point) of one method: where it loses."""
    own: dict[str, list[Score]] = defaultdict(list)
    for one in found:
        if one.method == method:
            own[one.task].append(one)
    share = lambda some, good: sum(map(good, some)) / len(some)
    good, exact = (lambda one: one.regret < NATS), (lambda one: one.points < POINTS)
    return {task: (share(some, good), share(some, exact)) for task, some in own.items()}


def lr_free() -> list[dict[str, Any]]:
    """LR-free optimizers: nats against the best rate of the best optimizer of the same task, schedule and horizon."""
    known, own = _finished(), defaultdict(list)
    for row in rows(FOLDER / "trained.jsonl"):
        task, _, schedule, steps = row["case"].split("/")
        rivals = [f"{task}/{o}/{schedule}/{steps}" for o in ("momentum", "adam") if f"{task}/{o}/{schedule}" in known]
        if len(rivals) < 2:
            continue
        best = min(float(_at_best(_truth(name))) for name in rivals)
        lost = math.inf if row["nats"] is None else row["nats"] - best
        own[row["method"], int(steps)].append((lost, row["failed"]))
    return [
        {
            "method": method,
            "steps": steps,
            "runs": len(some),
            "nats": sum(lost < NATS for lost, _ in some) / len(some),
            "failed": sum(failed for _, failed in some) / len(some),
            "median": statistics.median(lost for lost, _ in some),
        }
        for (method, steps), some in sorted(own.items(), key=lambda item: (item[0][1], item[0][0]))
    ]


def _at_best(true: Truth) -> float:
    return float(true.nats.mean(0)[round((true.oracle - true.x[0]) / (true.x[1] - true.x[0]))])
