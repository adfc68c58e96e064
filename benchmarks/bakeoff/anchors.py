"""The loss at the oracle's rate of each case, on the seeds that suggestions are scored on: what a record leaves out.

A record keeps what a rate loses, not what the best one ends at. Three lanes a case tell that: the loss that ratios are
shares of, and what an untrained network scores. `python -m benchmarks.bakeoff.anchors [TASK ...]` trains those that
anchors.jsonl lacks; with complete curves nobody needs them.
"""

from __future__ import annotations

import json
import statistics
from functools import cache
from typing import Any

from benchmarks.bakeoff.curves import SCORE_SEEDS
from benchmarks.bakeoff.rows import FOLDER, read
from benchmarks.bakeoff.tasks import Case, cases
from benchmarks.bakeoff.work import arguments
from etastar.core.lane import Lane, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.fixed_lanes import FixedLanes
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

ANCHORS = FOLDER / "anchors.jsonl"


@cache
def anchored() -> dict[str, dict[str, Any]]:
    """Case -> {"nats": at the oracle's rate, "chance": of an untrained network}."""
    return {row["case"]: row for row in read(ANCHORS)}


def anchor(case: Case, log_lr: float) -> dict[str, Any]:
    """The row of a case whose best rate is known; a loss that is not finite would not be the oracle's."""
    problem = case.problem()
    with Workplace(Options(store=":memory:", workers=1, device="cpu")) as place:
        session = place.of(problem)
        lane = lambda seed: Lane(
            quantise(10**log_lr),
            derive_seed(0, "bakeoff", seed),
            case.steps,
            session.facts.criterion,
            Until.END,
            problem.policy,
        )
        found = session.run(FixedLanes([lane(seed) for seed in SCORE_SEEDS]))
    nats = [case.task.nats(one.valid_loss) for one in found if one.valid_loss is not None]
    assert len(nats) == len(SCORE_SEEDS), case.name
    chance = case.task.nats(statistics.fmean(one.first_loss for one in found if one.first_loss is not None))
    return {"case": case.name, "log_lr": log_lr, "nats": statistics.fmean(nats), "chance": chance}


def main() -> None:
    from benchmarks.bakeoff.recorded import best_of

    given = arguments(__doc__, seeds=len(SCORE_SEEDS))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for case in cases(given.tasks, tuple(given.horizons)):
        if case.optimizer in given.optimizers and case.schedule in given.schedules and case.name not in anchored():
            with ANCHORS.open("a") as file:
                file.write(json.dumps(anchor(case, best_of(case.name))) + "\n")


if __name__ == "__main__":
    main()
