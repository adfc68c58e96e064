"""Our own searches on every case, trained for real: what `find` does, from the default rate and the others' usual one.

Curves are not needed: where a search begins is read off the record. Nothing is read from a store, so a row's seconds are
those of the whole search. `python -m benchmarks.bakeoff.ours [TASK ...]` appends to suggestions.jsonl what it lacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.bakeoff.recorded import usual_rate
from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, Rows
from benchmarks.bakeoff.tasks import HORIZONS, SLOW, Case, cases
from benchmarks.bakeoff.work import PROCESSES, arguments, in_processes
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.budgeted import weighed
from etastar.verbs.find.budget import prior_for
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.find.find import start_rate
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

BUDGETS = tuple(dict.fromkeys(EFFORTS.values()))
SEEDS = {160: 5, 640: 3}
"""Horizon -> seeds."""
LATE = 2
"""Seeds that others are ahead of the long runs of slow tasks, which take a third of all time."""
Unit = tuple[Case, float, int]
"""(case, budget, seed)."""


def method(budget: float) -> str:
    """What the tables call a budget."""
    return {0.6: "etastar glance (0.6)", 3.2: "etastar quick (3.2)"}.get(budget, f"etastar ({budget:g})")


def search(unit: Unit) -> list[dict[str, Any]]:
    """The row of one search, from nothing."""
    case, budget, seed = unit
    problem = case.problem()
    started, spent = time.perf_counter(), time.process_time()
    with Workplace(Options(store=":memory:", workers=1, device="cpu")) as place:
        session = place.of(problem)
        start = start_rate(problem, session.facts, usual=usual_rate(case.task.name, case.optimizer))
        own = derive_seed(0, "bakeoff", "ours", seed)
        facts, horizon = session.facts, (case.steps, problem.policy)
        design = BestLR(facts.criterion, *horizon, start, budget, seed=own, squeezes=facts.squeezes)
        session.plan(design.planned(), usual=1.0)
        best = session.run(design)
        if budget == EFFORTS["glance"]:
            best = weighed(best, prior_for(problem, facts, None), case.steps)
    row = {"case": case.name, "method": method(budget), "seed": seed}
    row |= {"lr": best.lr.value, "low": best.lr.low, "high": best.lr.high, "steps": round(best.full_runs * case.steps)}
    row |= {"seconds": round(time.perf_counter() - started, 3), "cpu": round(time.process_time() - spent, 3)}
    return [row | {"note": " ".join(best.lr.flags) or best.lr.reason}]


def units(some: Iterable[Case], rows: Rows, seeds: int = max(SEEDS.values())) -> list[Unit]:
    """What is not among `rows`, seed by seed, so that a run cut short has all cases; long ones of slow tasks come later."""
    wanted = [(c, b, s) for c in some for s in range(min(seeds, SEEDS[c.steps])) for b in BUDGETS]
    missing = [(c, b, s) for c, b, s in wanted if (c.name, method(b), s) not in rows]
    late = lambda case: LATE * (case.task.name in SLOW and case.steps > min(HORIZONS))
    return sorted(missing, key=lambda unit: (unit[2] + late(unit[0]), unit[0].steps))


def search_all(some: Iterable[Case], seeds: int = max(SEEDS.values()), processes: int = PROCESSES) -> None:
    """Every search on `some` cases that is not there yet."""
    rows = Rows(FOLDER / SUGGESTIONS)
    in_processes(search, units(some, rows, seeds), rows, lambda unit: f"{unit[0].name}, {method(unit[1])}", processes)


def main() -> None:
    given = arguments(__doc__, seeds=max(SEEDS.values()))
    some = [
        case
        for case in cases(given.tasks, tuple(given.horizons))
        if case.optimizer in given.optimizers and case.schedule in given.schedules
    ]
    search_all(some, given.seeds, given.processes)


if __name__ == "__main__":
    main()
