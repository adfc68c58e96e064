"""What one run at a hasty peak under the network is worth beside what the same steps buy elsewhere."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Row, table
from benchmarks.cases.psi_frozen_2 import tasks_of
from etastar.core.told import told
from etastar.laws.psi.driven import Ratio
from etastar.policies.policy import Policy
from etastar.policies.psi import Psi
from etastar.policies.psi_network import PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.options import Options
from etastar.verbs.psi.judging import PAIR
from etastar.verbs.psi.measured import SmallBench, linear
from etastar.verbs.workplace import Workplace

RECORD = Path(__file__).parents[1] / "records/2026-11-26_psi_frozen_2/results.jsonl"
"""Where runs at tuned, glanced and quickly found peaks, on the same seeds, were recorded."""
QUARTERS = 0.84
"""Full runs that lanes of a quarter of the steps may take."""
QUICK = EFFORTS["quick"]
"""Full runs of a quick search, at most."""
WORTH = ("median", "won / tied / lost")
HEAD = [
    "steps", "way", "cost", "tasks", "final loss / tuned linear's [90 %]", *WORTH,
    "network's / its [90 %]", *(f"{name} of that" for name in WORTH),
]  # fmt: skip
RECORDED = {
    "linear, at a glance": ("glance", "linear"),
    "closed form, at a glance": ("glance", "closed form"),
    "network, at a glance": ("glance", "network"),
    "linear, at twice a glance": ("glance x 2", "linear"),
    "closed form, at twice a glance": ("glance x 2", "closed form"),
    "network, at twice a glance": ("glance x 2", "network"),
    "linear, quick": ("quick", "linear"),
}
"""Way -> peak and arm of the record."""
OURS = {"glance": "network, at twice a glance", "quarters": "network, at twice quarters"}
"""Search -> the way that is held against all others of its cost."""


def _rows(config: dict[str, Any]) -> Iterator[Row]:
    recorded = {(row["task"], row["steps"]): row for row in map(json.loads, RECORD.read_text().splitlines())
                if row["what"] == "task" and row["part"] == "new"}  # fmt: skip
    with Workplace(Options(store=config["store"], workers=1)) as place:
        bench = SmallBench(place, 0, 4)
        for steps, seeds in config["plan"].items():
            for task in tasks_of("new", int(steps)):
                if (row := recorded.get((task.name, task.steps))) is not None:
                    yield _driven(bench, task, seeds, row)


def _driven(bench: SmallBench, task: Task, seeds: int, recorded: Row) -> Row:
    """Every way on a task: total cost in trainings of its steps, and final losses."""
    losses = {way: recorded["losses"][peak][arm] for way, (peak, arm) in RECORDED.items() if peak in recorded["losses"]}
    glance, first = _searched(bench, task, "glance")
    quarters, second = _searched(bench, task, "quarters", QUARTERS)
    _, third = _searched(bench, task, "quick")
    costs = {way: 1 + (third if way == "linear, quick" else first) for way in losses}
    if quarters is not None:
        peaks: dict[str, tuple[Policy, float]] = {
            "linear, at quarters": (linear(task.steps), quarters),
            "closed form, at quarters": (Psi().over(task.steps), quarters),
            "network, at quarters": (PsiNetwork().over(task.steps), quarters),
            "network, at twice quarters": (PsiNetwork().over(task.steps), 2 * quarters),
        }
        losses |= bench.fresh(task, peaks, seeds)
        costs |= dict.fromkeys(peaks, 1 + second)
    for total, name in ((1 + first, "glance"), (1 + second, "quarters"), (2.0, "two")):
        for way, own in _bought(bench, task, seeds, total).items():
            losses[f"{way} ({name})"], costs[f"{way} ({name})"] = own, total
    labels = {"what": "task", "steps": task.steps, "task": task.name, "family": task.family.name, "group": task.group}
    rates = {"glance": glance, "quarters": quarters, "recorded glance": recorded["found"].get("glance")}
    tuned = recorded["losses"]["x 1"]["tuned"]
    return {**labels, "rates": rates, "costs": costs, "tuned": tuned, "losses": told(losses)}


def _searched(bench: SmallBench, task: Task, name: str, budget: float | None = None) -> tuple[float | None, float]:
    """What a search finds, and what it cost in trainings."""
    before = bench.full_runs
    return bench.search(task, name, budget).value, bench.full_runs - before


def _bought(bench: SmallBench, task: Task, seeds: int, total: float) -> dict[str, tuple[float, ...]]:
    """What `total` trainings buy under linear decay: a long run, two shorter ones, and a quick search with its run."""
    long, half, short = (Task(task.family, task.optimizer, round(total * task.steps / parts)) for parts in (1, 2, QUICK + 1))
    start = bench.start(task)
    quick = bench.search(short, "quick").value or start
    return {
        "one run at the usual rate": bench.fresh(long, {"own": (linear(long.steps), start)}, seeds)["own"],
        "better of two rates": _better(bench, half, (start / PAIR, start * PAIR), seeds),
        "quick and its run": bench.fresh(short, {"own": (linear(short.steps), quick)}, seeds)["own"],
    }


def _better(bench: SmallBench, task: Task, rates: tuple[float, float], seeds: int) -> tuple[float, ...]:
    """Of two trainings of a seed the one that is lower on the split that choices are made by, as it scores on the last."""
    arms = {str(lr): (linear(task.steps), lr) for lr in rates}
    chosen, scored = bench.once(task, arms, seeds, "fresh", kept=True), bench.fresh(task, arms, seeds)
    best = [min(arms, key=lambda name: chosen[name][k]) for k in range(seeds)]
    return tuple(scored[name][k] for k, name in enumerate(best))


def _summary(rows: list[Row]) -> str:
    return f"""\
The families of psi_frozen_2's first table, made after the network was frozen; nothing is chosen by them. Cost: trainings of
so many steps, search included, as counted; the mean over tasks. `quarters` are lanes of a quarter of the steps, for
{QUARTERS} runs at most. What stands behind (glance) or (quarters) buys, task by task, as many steps as that search and one
run, under linear decay: one run, longer than the others, at the optimizer's usual rate; two shorter ones at half and twice
that rate, of which the one is kept that is better on the data that choices are made by; a quick search and its run, all of
it shorter. (two) buys two whole runs. Against linear decay at its tuned peak, which took 28 to 44 runs; and the network at
twice the peak of the same search against each.

{table(HEAD, [line for steps in sorted({row["steps"] for row in rows}) for line in _lines(rows, steps)])}"""


def _lines(every: Sequence[Row], steps: int) -> list[list[Any]]:
    """The ways over so many steps, the cheap first."""
    rows = [row for row in every if row["steps"] == steps]
    ways = dict.fromkeys(way for row in rows for way in row["losses"])
    costs = {way: statistics.fmean(row["costs"][way] for row in rows if way in row["costs"]) for way in ways}
    lines = []
    for way, cost in sorted(costs.items(), key=lambda item: (round(item[1], 1), item[0])):
        own, ours = _ratio(rows, way), OURS["quarters" if "quarters" in way else "glance"]
        alone = way in OURS.values() or way == "linear, quick" or "(two)" in way
        held = ["", "", ""] if alone else _worth(_ratio(rows, ours, way))
        lines.append([steps, way, f"{cost:.2f}", len(own.logs), *_worth(own), *held])
    return lines


def _worth(ratio: Ratio) -> list[str]:
    mean, (won, tied, lost) = ratio.mean(), ratio.record
    return [f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]", f"{ratio.median:.3f}", f"{won} / {tied} / {lost}"]


def _ratio(rows: Sequence[Row], way: str, against: str | None = None) -> Ratio:
    pairs = ((row, row["losses"].get(way), row["tuned"] if against is None else row["losses"].get(against)) for row in rows)
    return Ratio.of({row["task"]: (row["family"], row["group"], _finite(a), _finite(b)) for row, a, b in pairs if a and b})


def _finite(losses: Sequence[float | None]) -> list[float]:
    return [math.inf if loss is None else loss for loss in losses]


CASE = Case(
    title="Psi at equal cost: one run at a hasty peak beside what the same steps buy elsewhere",
    config={"plan": {"200": 6, "800": 4}, "store": ".etastar/psi-equal-cost.db"},
    rows=_rows,
    summary=_summary,
)
