"""What `find` says on every cell: its efforts replayed on the curves, and some of them trained for real."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import etastar
from benchmarks.basins.replay import Replay
from benchmarks.basins.score import answer_row, ceiling_row, rate_row, scored
from benchmarks.basins.tasks import Cell, cells
from benchmarks.basins.truth import SEARCH, Row, Truth, read, wanted
from etastar.core.estimate import Status
from etastar.core.lane import Criterion
from etastar.designs.best_rate import carried, last_look
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.budgeted import weighed
from etastar.designs.best_rate.full_length import FullLength
from etastar.engine.preflight import Preflight
from etastar.policies.policy import Policy
from etastar.verbs.find.budget import prior_for
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.find.find import WITHIN, start_rate
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

SEEDS = range(3)
SETTINGS: tuple[dict[str, Any], ...] = tuple(
    dict(zip(("STEEP", "NOISE", "FASTER", "BACK"), values, strict=True))
    for values in itertools.product((0.3, 99.0), (0.0, 0.1), (1.0, 1.5, 2.0), (0.0, 0.3))
)
"""Of the last look, and the first one of `carried`; 99 knows no cliff."""
OFF = (-1.0, 0.0, 1.0)
"""Decades by which the start of a search is moved, where settings are compared."""


@dataclass(frozen=True)
class Case:
    """A cell, what is known of its problem, and its curves."""

    cell: Cell
    facts: Preflight
    policy: Policy
    start: float
    curves: dict[tuple[int, int], Row]
    truth: Truth

    def search(self, effort: str, seed: int, off: float = 0.0) -> BestRate:
        """What an effort says, replayed."""
        start, replay = self.start * 10**off, Replay(self.cell, self.curves, seed)
        horizon = (self.cell.steps, self.policy)
        best = replay.run(BestLR(Criterion(), *horizon, start, EFFORTS[effort], seed=seed))
        if effort == "glance":
            return weighed(best, prior_for(self.cell.problem(), self.facts, None), self.cell.steps)
        if effort == "quick" or best.lr.status is not Status.OK:
            return best
        full = FullLength(Criterion(), *horizon, best.lr.require(), WITHIN, seed, ends=(best.lr.low, best.lr.high))
        found = replay.run(full)
        return replace(found, full_runs=found.full_runs + best.full_runs)


def cases(folder: Path) -> Iterator[Case]:
    """Every cell that has its curves."""
    for cell in cells():
        curves = read(folder / f"{cell.task}-{cell.optimizer}-{cell.schedule}.jsonl")
        if all(key in curves for key in wanted(cell.steps)):
            with Workplace(Options(store=":memory:", workers=1)) as place:
                facts = place.facts(problem := cell.problem())
            yield Case(cell, facts, problem.policy, start_rate(problem, facts), curves, Truth.of(cell, curves))


def replayed(found: Sequence[Case]) -> Iterator[Row]:
    """A row a cell with its truth, one with the usual rate, one a seed of the noise ceiling, and one an effort and seed."""
    for case in found:
        yield {"kind": "truth", "cell": case.cell.name, "rates": case.cell.rates, "nats": case.truth.nats.round(4).tolist()}
        usual = start_rate(case.cell.problem(), replace(case.facts, lr=None))
        yield scored(rate_row(case.cell, "usual rate", usual), case.truth)
        yield from (scored(ceiling_row(case.cell, case.curves, seed), case.truth) for seed in SEARCH)
        for effort, seed in itertools.product(EFFORTS, SEEDS):
            yield scored(answer_row(case.cell, effort, seed, case.search(effort, seed)), case.truth)


def trained(found: Sequence[Case], cell_of: Callable[[Case], bool]) -> Iterator[Row]:
    """The same of `find` itself, seed 0, on some cells."""
    for case in filter(cell_of, found):
        answer = etastar.find(case.cell.problem(), effort="quick", seed=0, options=Options(store=":memory:", workers=1))
        yield scored(answer_row(case.cell, "quick, trained", 0, answer.best), case.truth)


def left_out(found: Sequence[Case]) -> Iterator[Row]:
    """For every task the settings of the last look that are best on the others, and what they lose on it."""
    lost: dict[tuple[int, str], list[Row]] = {}
    for index, setting in enumerate(SETTINGS):
        steep, rest = setting["STEEP"], {key: value for key, value in setting.items() if key != "STEEP"}
        with mock.patch.object(carried, "STEEP", steep), mock.patch.multiple(last_look, **rest):
            for case, seed, off in itertools.product(found, SEEDS, OFF):
                row = scored(answer_row(case.cell, "quick", seed, case.search("quick", seed, off)), case.truth)
                lost.setdefault((index, case.cell.task), []).append(row)
    tasks = list(dict.fromkeys(task for _, task in lost))
    for task in tasks:
        others = lambda index, left=task: [r for t in tasks if t != left for r in lost[index, t]]
        picked = min(range(len(SETTINGS)), key=lambda index: _loss(others(index)))
        own = lost[picked, task]
        mean: Callable[[str], Any] = lambda key, some=own: float(np.mean([bool(r[key]) for r in some]))
        yield {
            "kind": "left out", "task": task, **SETTINGS[picked], "searches": len(own), "loss": _loss(own),
            **{key: mean(key) for key in ("good", "close", "harmed", "holds")},
        }  # fmt: skip


def _loss(rows: Sequence[Row]) -> float:
    """What a setting is chosen by: answers that miss either bar, and nats lost, half a nat at most."""
    return float(np.mean([(not r["good"]) + (not r["close"]) / 2 + 2 * min(r["regret"], 0.5) for r in rows]))
