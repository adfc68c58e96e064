"""What budgets of 1 to 60 % of a run, `glance` and `quick` find at 2,500, 10,000 and 40,000 steps.

The truth of 10,000 steps is that of the record of long horizons; the prior of a task is learnt from the others there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.long_horizon.arms import arm_row
from benchmarks.long_horizon.fit import fitted
from benchmarks.long_horizon.tasks import HORIZON, TASKS, Cell
from benchmarks.long_horizon.truth import Row, Truth, place_in, truths_of
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.best_rate import BestRate
from etastar.designs.best_rate.budgeted import QUANTILE, UNDECIDED, Bought, Budgeted, weighed
from etastar.designs.best_rate.rate_prior import Belief, BestSeen, RatePrior
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.find.find import start_rate
from etastar.verbs.workplace import Session

RECORD = Path(__file__).parents[1] / "records" / "2026-11-26_long_horizon" / "results.jsonl"
HORIZONS = (2_500, HORIZON, 40_000)
BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.3, 0.6)
UNDER = (("momentum", "constant"), ("adamw", "warmup-cosine"))
CELLS = tuple(Cell(task, *under) for task in TASKS for under in UNDER)
FITTED = "budget, level as fitted"
"""Weighed as if tasks lay no further from the prior's level than their likeliest spread has it."""
LONGEST = (Cell("teacher", *UNDER[0]), Cell("characters", *UNDER[0]), Cell("noisy-labels", *UNDER[1]))
"""What is trained for 40,000 steps."""


def tried(folder: Path) -> Iterator[Row]:
    """The truth of every cell and horizon, and what every budget and effort says of it."""
    known = [Truth.of(row) for row in map(json.loads, RECORD.read_text().splitlines()) if row["kind"] == "truth"]
    learnt = {task: fitted([t for t in known if t.cell.task != task]) for task in TASKS}
    for steps in HORIZONS:
        some = LONGEST if steps > HORIZON else CELLS
        for cell in some:
            for row in _truth(cell, steps, known, folder):
                known.append(Truth.of(row))
                yield row
        for cell in some:
            yield _usual(cell, steps, known)
            yield from _measured(cell, steps, learnt[cell.task].prior(cell, steps), folder)


def _usual(cell: Cell, steps: int, known: Sequence[Truth]) -> Row:
    """The median of the best rates of the other tasks, at the longest horizon that all of them have."""
    at = min(steps, HORIZON)
    alike = [t.best for t in known if t.steps == at and t.cell.alike(cell) and t.cell.task != cell.task]
    return arm_row(cell, "usual", 0.0, 0, Belief(median(alike), 0.0), 0) | {"steps": steps, "low": None, "high": None}


def _truth(cell: Cell, steps: int, known: Sequence[Truth], folder: Path) -> Iterator[Row]:
    """Trained, if the record has it not."""
    own = next((t for t in known if (t.cell, t.steps) == (cell, steps)), None)
    if own is None:
        yield from truths_of(cell, steps, folder)
    else:
        yield {"kind": "truth", "cell": cell.name, "steps": steps, "rates": list(own.rates), "losses": list(own.losses)}


def _measured(cell: Cell, steps: int, prior: RatePrior, folder: Path) -> Iterator[Row]:
    problem = cell.problem(steps)
    yield arm_row(cell, "prior", 0.0, 0, prior.at(steps), 0) | {"steps": steps}
    with place_in(folder) as place:
        session = place.of(problem)
        for budget in BUDGETS:
            best, got, readings = bought(session, prior, budget)
            yield _row(cell, steps, "budget", budget, best) | {"left": got.left}
            drawn = prior.at(steps, readings if got.left <= UNDECIDED else ())
            low, high = drawn.interval(QUANTILE)
            as_fitted = replace(best, lr=replace(best.lr, value=10**drawn.mean, low=low, high=high))
            yield _row(cell, steps, FITTED, budget, as_fitted)
        for effort in ("glance", "quick"):
            best = searched(session, effort)
            best = weighed(best, prior, steps) if effort == "glance" else best
            yield _row(cell, steps, effort, EFFORTS[effort], best)


def bought(session: Session, prior: RatePrior, budget: float) -> tuple[BestRate, Bought, list[BestSeen]]:
    """What `find --budget` says, the prior's rate where lanes have not decided; and what its lanes read."""
    problem, facts = session.problem, session.facts
    steps = int(budget * problem.steps)
    design = Budgeted(facts.criterion, problem.steps, prior, steps, problem.policy, 0, facts.squeezes)
    best, got = session.run(design)
    readings = design.readings(best)
    return (best if best.lr.ok else replace(best, lr=replace(got.prior, cost=best.lr.cost))), got, readings


def searched(session: Session, effort: str) -> BestRate:
    """What the search of an effort says."""
    problem, facts = session.problem, session.facts
    start = start_rate(problem, facts)
    return session.run(
        BestLR(facts.criterion, problem.steps, problem.policy, start, EFFORTS[effort], squeezes=facts.squeezes)
    )


def _row(cell: Cell, steps: int, arm: str, budget: float, best: BestRate) -> dict[str, Any]:
    lr, rungs = best.lr, [[rung.steps, len(rung.points)] for rung in best.rungs]
    return {
        "kind": "arm", "cell": cell.name, "steps": steps, "arm": arm, "budget": budget, "seed": 0, "lr": lr.value,
        "low": lr.low, "high": lr.high, "cost": best.full_runs, "rungs": rungs, "flags": list(lr.flags),
    }  # fmt: skip
