"""The simple baselines: everybody's default rates, and the short grid.

The short grid is what a careful user does by hand: 13 rates half a decade apart, each trained for one epoch (or three) at a
constant rate, the smallest held-out loss wins. Its rates lie a tenth of a decade off those the oracle is found on. Like a
range test it knows neither schedule nor horizon: its row stands for all of the optimizer's cases.
`python -m benchmarks.bakeoff.grids [TASK ...]` appends the rows that are missing.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from benchmarks.bakeoff.rows import FOLDER, SUGGESTIONS, Rows, suggestion
from benchmarks.bakeoff.tasks import Case, cases, make_problem
from benchmarks.bakeoff.work import arguments, in_processes
from etastar.core.lane import Lane, Outcome, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.fixed_lanes import FixedLanes
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

SEEDS = 3
RATES = [quantise(10 ** (-4.9 + 0.5 * i)) for i in range(13)]
EPOCHS = (1, 3)
DEFAULTS = {"momentum": (0.1, 0.01), "adam": (1e-3,), "adamw": (1e-3,)}


def method(epochs: int) -> str:
    return f"short grid, {epochs} epoch{'s' if epochs > 1 else ''}"


def of(optimizer: str, tasks: list[str]) -> list[Case]:
    """The cases of one optimizer."""
    return [case for case in cases(tasks) if case.optimizer == optimizer]


def short_grids(unit: tuple[str, str, int]) -> list[dict[str, Any]]:
    """The rows of both grids for one task and optimizer; its lanes are kept in a store of their own."""
    task, optimizer, seeds = unit
    problem = make_problem(task, optimizer, "constant", 100, 1e-2)
    per_epoch = problem.parts.batches.per_epoch
    assert per_epoch is not None
    plan = list(itertools.product(EPOCHS, range(seeds)))
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = Options(store=FOLDER / f"grid-{task}-{optimizer}.db", workers=1, device="cpu")
    with Workplace(options) as place:
        session, lanes = place.of(problem), []
        for epochs, seed in plan:
            own, steps = derive_seed(0, "bakeoff", seed), epochs * per_epoch
            lanes += [Lane(lr, own, steps, session.facts.criterion, Until.END) for lr in RATES]
        runs = session.run(FixedLanes(lanes))
    rows = []
    for i, (epochs, seed) in enumerate(plan):
        own = list(runs[i * len(RATES) : (i + 1) * len(RATES)])
        best = min(own, key=_loss)
        lr, note = (best.lane.lr, "") if math.isfinite(_loss(best)) else (None, "every rate diverged")
        cost = sum(o.steps for o in own), sum(o.seconds for o in own)
        rows += [suggestion(case.name, method(epochs), seed, lr, *cost, note) for case in of(optimizer, [task])]
    return rows


def _loss(outcome: Outcome) -> float:
    loss = outcome.valid_loss
    return loss if loss is not None and math.isfinite(loss) else math.inf


def defaults(case: Case) -> list[dict[str, Any]]:
    """What a user who measures nothing trains with."""
    return [suggestion(case.name, f"default {lr:g}", 0, lr) for lr in DEFAULTS[case.optimizer]]


def main() -> None:
    given = arguments(__doc__, seeds=SEEDS)
    rows = Rows(FOLDER / SUGGESTIONS)
    own = {optimizer: of(optimizer, given.tasks) for optimizer in given.optimizers}
    for case in itertools.chain.from_iterable(own.values()):
        rows.add(defaults(case))
    units = []
    for task, optimizer in itertools.product(given.tasks, given.optimizers):
        wanted = itertools.product(of(optimizer, [task]), EPOCHS, range(given.seeds))
        if any((case.name, method(epochs), seed) not in rows for case, epochs, seed in wanted):
            units.append((task, optimizer, given.seeds))
    in_processes(short_grids, units, rows, "the short grids of {0[0]}/{0[1]}".format, given.processes)


if __name__ == "__main__":
    main()
