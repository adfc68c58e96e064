"""Searches over whole trainings, replayed on the stored curves: random search, Optuna's TPE, TPE with Hyperband.

A trial trains at any rate between 1e-5 and 10. Instead of training again, its held-out loss is read off the curve of one
training seed, linearly between its rates (in log10), level beyond its ends; a lane that diverged stands at the loss it
started from, or that of knowing nothing where it is larger. A whole trial is read off the oracle's seeds; a prefix of one,
which Hyperband compares, off the search's lanes of that length, over which the schedule is squeezed: a user's prefix would
see the unsqueezed one.
`python -m benchmarks.bakeoff.replay [TASK ...]` appends the rows that are missing for the curves that are complete.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from benchmarks.bakeoff.curves import ORACLE_SEEDS, SEARCH_SEEDS, combinations, grid, plan
from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, Rows, suggestion
from benchmarks.bakeoff.tasks import TASKS, Case
from benchmarks.bakeoff.work import arguments
from etastar.core.lane import quantise
from etastar.core.randomness import derive_seed

SEEDS = 5
LOW, HIGH = 1e-5, 10.0
SHARES = (8, 4, 2, 1)
"""Hyperband compares trials after 1/8, 1/4, 1/2 and all of their steps."""
BUDGET = 3
"""Hyperband starts trials until it has spent this many full runs; the last one it starts takes it to 3.2 or so."""


@dataclass(frozen=True)
class Curve:
    """What training at a rate gives: held-out loss, gradient steps and seconds, at the rates of the grid."""

    log_lrs: np.ndarray
    losses: np.ndarray
    steps: np.ndarray
    seconds: np.ndarray

    def loss(self, lr: float) -> float:
        return float(np.interp(np.log10(lr), self.log_lrs, self.losses))

    def spent(self, lr: float) -> tuple[float, float]:
        """(gradient steps, seconds) at the nearest rate: lanes that diverge stop early."""
        nearest = int(np.abs(self.log_lrs - np.log10(lr)).argmin())
        return float(self.steps[nearest]), float(self.seconds[nearest])


Curves = dict[tuple[int, int], Curve]
"""(steps, seed index) -> curve."""


def curves(task: str, optimizer: str, schedule: str) -> Curves | None:
    """Every curve of one combination; None while its store lacks a lane. Only reads: nothing is trained here."""
    path = FOLDER / f"{task}-{optimizer}-{schedule}.db"
    if not path.exists():
        return None
    columns = "lr, seed, planned_steps, valid_loss, first_loss, criterion, steps, seconds"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        stored = {(n, seed, lr): rest for lr, seed, n, *rest in connection.execute(f"SELECT {columns} FROM run")}
    rates = [quantise(10**x) for x in grid(optimizer)]
    found = {}
    for steps, seed in plan():
        lanes = [stored.get((steps, derive_seed(0, "bakeoff", seed), lr)) for lr in rates]
        if None in lanes:
            return None
        losses, spent, seconds = zip(*map(_lane, lanes), strict=True)
        found[steps, seed] = Curve(np.log10(rates), np.array(losses), np.array(spent), np.array(seconds))
    return found


def _lane(stored: list[Any]) -> tuple[float, int, float]:
    """(held-out loss; gradient steps; seconds). A lane that diverged may not beat one that has not begun to train."""
    valid, first, criterion, steps, seconds = stored
    chance = json.loads(criterion)["uninformed"]
    lost = valid is None or not np.isfinite(valid)
    return max(first, chance or first) if lost else valid, steps, seconds


class Trials:
    """The trainings of one search: reads them off the curves and counts what they would have cost."""

    def __init__(self, own: Curves, steps: int, seed: int) -> None:
        self._full = own[steps, ORACLE_SEEDS[seed % len(ORACLE_SEEDS)]]
        lengths = [steps // share for share in SHARES[:-1]]
        self._parts = {n: own[n, SEARCH_SEEDS[seed % len(SEARCH_SEEDS)]] for n in lengths}
        self.steps, self.spent, self.seconds = steps, 0.0, 0.0

    def run(self, lr: float) -> float:
        """The held-out loss of a whole training."""
        self._pay(self._full, lr, 1.0)
        return self._full.loss(lr)

    def continued(self, lr: float, done: int, steps: int) -> float:
        """The held-out loss after `steps`, `done` of which are paid for."""
        curve = self._full if steps == self.steps else self._parts[steps]
        self._pay(curve, lr, 1 - done / steps)
        return curve.loss(lr)

    def _pay(self, curve: Curve, lr: float, share: float) -> None:
        steps, seconds = curve.spent(lr)
        self.spent += share * steps
        self.seconds += share * seconds


def random_search(trials: Trials, seed: int, count: int) -> float:
    """The best of `count` rates drawn uniformly in log10."""
    rng = np.random.default_rng(seed)
    rates = 10 ** rng.uniform(np.log10(LOW), np.log10(HIGH), count)
    return float(min(rates, key=trials.run))


def tpe(trials: Trials, seed: int, count: int, startup: int = 10) -> float:
    """The best of `count` trials of Optuna's default sampler, whose first 10 are drawn at random unless it is told fewer."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup))
    study.optimize(lambda trial: trials.run(trial.suggest_float("lr", LOW, HIGH, log=True)), n_trials=count)
    return study.best_params["lr"]


def hyperband(trials: Trials, seed: int) -> float | None:
    """TPE under Optuna's Hyperband pruner; None if no trial was allowed to finish."""
    lengths = [trials.steps // share for share in SHARES]
    pruner = optuna.pruners.HyperbandPruner(min_resource=lengths[0], max_resource=trials.steps, reduction_factor=2)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        lr, loss = trial.suggest_float("lr", LOW, HIGH, log=True), float("nan")
        for done, steps in itertools.pairwise([0, *lengths]):
            loss = trials.continued(lr, done, steps)
            trial.report(loss, steps)
            if steps < trials.steps and trial.should_prune():
                raise optuna.TrialPruned
        return loss

    def enough(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if trials.spent >= BUDGET * trials.steps:
            study.stop()

    study.optimize(objective, n_trials=200, callbacks=[enough])
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return study.best_params["lr"] if finished else None


METHODS: dict[str, Callable[[Trials, int], float | None]] = {
    "random search, 1 trial": lambda trials, seed: random_search(trials, seed, 1),
    "random search, 3 trials": lambda trials, seed: random_search(trials, seed, 3),
    "optuna tpe, 3 trials": lambda trials, seed: tpe(trials, seed, 3),
    "optuna tpe, 10 trials": lambda trials, seed: tpe(trials, seed, 10),
    "optuna tpe, 10 trials (3 at random)": lambda trials, seed: tpe(trials, seed, 10, startup=3),
    "optuna tpe + hyperband, 3.2 runs": hyperband,
}


def main() -> None:
    given = arguments(__doc__, seeds=SEEDS)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = Rows(FOLDER / SUGGESTIONS)
    new: dict[str, int] = defaultdict(int)
    for task, optimizer, schedule in combinations(given.tasks):
        if optimizer not in given.optimizers or schedule not in given.schedules:
            continue
        cases = [Case(TASKS[task], optimizer, schedule, steps) for steps in given.horizons]
        units = list(itertools.product(cases, METHODS, range(given.seeds)))
        if all((case.name, method, seed) in rows for case, method, seed in units):
            continue
        own = curves(task, optimizer, schedule)
        if own is None:
            print(f"{task}/{optimizer}/{schedule}: the curves are not complete; run benchmarks.bakeoff.curves", flush=True)
            continue
        for case, method, seed in units:
            trials = Trials(own, case.steps, seed)
            lr = METHODS[method](trials, derive_seed(0, "bakeoff", case.name, seed) % 2**32)
            note = "" if lr else "no trial finished"
            row = suggestion(case.name, method, seed, lr, round(trials.spent), trials.seconds, f"replayed. {note}".strip())
            new[task] += rows.add([row])
        print(f"{task}/{optimizer}/{schedule}: replayed", flush=True)
    print(f"{sum(new.values())} new rows", flush=True)


if __name__ == "__main__":
    main()
