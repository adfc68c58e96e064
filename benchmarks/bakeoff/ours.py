"""Our own searches on every case, trained for real: the Design behind `find`, at four budgets, from the default rate.

`python -m benchmarks.bakeoff.ours [TASK ...]` appends to suggestions.jsonl what it lacks; lanes are kept in a store.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.bakeoff.curves import FOLDER, combinations
from benchmarks.bakeoff.tasks import DEFAULT_LR, HORIZONS, TASKS, Case, make_problem
from benchmarks.bakeoff.truth import finished, truth
from etastar.core.design import Plan
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.best_rate.budgeted import weighed
from etastar.engine.preflight import Preflight
from etastar.policies.named import policy_over
from etastar.verbs.find.budget import prior_for
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.find.find import USUAL, start_rate
from etastar.verbs.options import Options
from etastar.verbs.workplace import Session, Workplace

BUDGETS = (0.6, 1.0, 2.0, 3.2)
SEEDS = {160: 5, 640: 3}
"""Horizon -> seeds."""
SUGGESTIONS = FOLDER / "suggestions.jsonl"


def method(budget: float) -> str:
    """What the tables call a budget."""
    return {0.6: "etastar glance (0.6)", 3.2: "etastar quick (3.2)"}.get(budget, f"etastar ({budget:g})")


def start_of(case: Case, facts: Preflight, done: list[str]) -> float:
    """Where `find` would begin, had the usual rate been taken over the other tasks only."""
    usual = usual_rate(case, done)
    return start_rate(case.problem(), facts, usual=usual)


def usual_rate(case: Case, done: list[str]) -> float:
    """Median best rate of the optimizer at 160 steps and a constant rate, over all tasks but the case's."""
    others = [name for name in done if name.endswith(f"/{case.optimizer}/constant") and name.split("/")[0] != case.task.name]
    if not others:
        return USUAL["adam" if case.optimizer.startswith("adam") else "momentum"]
    rates = [truth(Case(TASKS[n.split("/")[0]], case.optimizer, "constant", 160)).oracle for n in others]
    return 10 ** statistics.median(rates)


def search(combination: tuple[str, str, str], done: list[str], known: set[tuple[str, str, int]]) -> list[dict[str, Any]]:
    """Rows of one combination that are not yet known."""
    task, optimizer, schedule = combination
    cases = [Case(TASKS[task], optimizer, schedule, steps) for steps in HORIZONS]
    wanted = [
        (c, b, s) for c in cases for s in range(SEEDS[c.steps]) for b in BUDGETS if (c.name, method(b), s) not in known
    ]
    if not wanted:
        return []
    problem = make_problem(task, optimizer, schedule, max(HORIZONS), DEFAULT_LR[optimizer])
    options = Options(store=FOLDER / f"ours-{task}-{optimizer}-{schedule}.db", workers=1, device="cpu")
    with Workplace(options) as place:
        session = place.of(problem)
        session.plan(Plan(6, 6 * max(HORIZONS)))
        return [_row(session, case, budget, seed, done) for case, budget, seed in wanted]


def _row(session: Session, case: Case, budget: float, seed: int, done: list[str]) -> dict[str, Any]:
    start = start_of(case, session.facts, done)
    own = derive_seed(0, "bakeoff", "ours", seed)
    policy = policy_over(case.schedule, case.steps)
    started = time.perf_counter()
    best = session.run(BestLR(session.facts.criterion, case.steps, policy, start, budget, seed=own))
    if budget == EFFORTS["glance"]:
        best = weighed(best, prior_for(case.problem(), session.facts, None), case.steps)
    return {
        "case": case.name,
        "method": method(budget),
        "seed": seed,
        "lr": best.lr.value,
        "low": best.lr.low,
        "high": best.lr.high,
        "steps": round(best.full_runs * case.steps),
        "seconds": round(time.perf_counter() - started, 3),
        "note": " ".join(best.lr.flags) or best.lr.reason,
    }


def known() -> set[tuple[str, str, int]]:
    """(case, method, seed) of the rows that are there."""
    if not SUGGESTIONS.exists():
        return set()
    rows = map(json.loads, filter(None, SUGGESTIONS.read_text().splitlines()))
    return {(row["case"], row["method"], row["seed"]) for row in rows}


def keep(rows: list[dict[str, Any]]) -> None:
    """Append rows."""
    with Path(SUGGESTIONS).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def search_all(tasks: list[str]) -> None:
    """Every combination of `tasks` whose curves are complete, shared between processes."""
    done, there = finished(), known()
    todo = [c for c in combinations(tasks) if "/".join(c) in done]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for rows in pool.map(search, todo, [done] * len(todo), [there] * len(todo)):
            keep(rows)
            if rows:
                print(rows[0]["case"], len(rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    search_all(parser.parse_args().tasks)


if __name__ == "__main__":
    main()
