"""The curves everything is scored on: held-out loss against rate, for every case, length and seed. Resumable.

`python -m benchmarks.bakeoff.curves [TASK ...]` trains what the store lacks; processes share the tasks. `--full` trains the
horizons alone, on which everything is scored: half an hour on one core. The replayed searches need the short ones, too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.bakeoff.tasks import OPTIMIZERS, SCHEDULES, SLOW, TASKS, make_problem
from etastar.core.lane import Lane, Runs, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.fixed_lanes import FixedLanes
from etastar.policies.named import policy_over
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

FOLDER = Path(os.environ.get("ETASTAR_BAKEOFF", ".etastar/bakeoff"))
RATES = {"momentum": (-3.5, 0.5), "adam": (-4.5, -0.5), "adamw": (-4.5, -0.5)}
STEP = 0.25
LENGTHS = (20, 40, 80, 160, 320)
"""Lengths of the searches' lanes: shares of both horizons. A squeezed schedule depends on the length alone."""
FULL = (160, 640)
SEARCH_SEEDS, ORACLE_SEEDS, SCORE_SEEDS = range(3), range(10, 13), range(20, 23)


def grid(optimizer: str) -> list[float]:
    """log10 of the rates of a curve."""
    low, high = RATES[optimizer]
    return [low + STEP * i for i in range(round((high - low) / STEP) + 1)]


def plan(full: bool = False) -> list[tuple[int, int]]:
    """(steps, seed index) of every curve, or of those of the horizons alone."""
    short = [(n, seed) for n in LENGTHS for seed in SEARCH_SEEDS]
    return (short if not full else []) + [(n, seed) for n in FULL for seed in (*ORACLE_SEEDS, *SCORE_SEEDS)]


def combinations(tasks: list[str]) -> Iterator[tuple[str, str, str]]:
    """(task, optimizer, schedule)."""
    for task in tasks:
        for optimizer in ("momentum", "adam") if task in SLOW else OPTIMIZERS:
            for schedule in SCHEDULES:
                yield task, optimizer, schedule


def train(task: str, optimizer: str, schedule: str, full: bool = False) -> tuple[str, Runs]:
    """The lanes of one combination; those in the store are read."""
    problem = make_problem(task, optimizer, schedule, max(FULL), 1e-2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = Options(store=FOLDER / f"{task}-{optimizer}-{schedule}.db", workers=1, device="cpu")
    with Workplace(options) as place:
        session, lanes = place.of(problem), []
        for steps, seed in plan(full):
            policy, own = policy_over(schedule, steps), derive_seed(0, "bakeoff", seed)
            criterion = session.facts.criterion
            lanes += [Lane(quantise(10**x), own, steps, criterion, Until.END, policy) for x in grid(optimizer)]
        runs = session.run(FixedLanes(lanes))
    return f"{task}/{optimizer}/{schedule}", runs


def _say(combination: tuple[str, str, str], full: bool) -> str:
    name, runs = train(*combination, full=full)
    return f"{name}: {runs.gradient_steps:,} gradient steps, {sum(o.seconds for o in runs):.0f} s"


def train_all(tasks: list[str], full: bool = False, processes: int | None = None) -> None:
    """Every combination of `tasks`, shared between processes."""
    with ProcessPoolExecutor(max_workers=processes or os.cpu_count()) as pool:
        for line in pool.map(partial(_say, full=full), combinations(tasks)):
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--full", action="store_true", help="the horizons alone")
    parser.add_argument("--processes", type=int, help="default one a core")
    given = parser.parse_args()
    train_all(given.tasks, given.full, given.processes)


if __name__ == "__main__":
    main()
