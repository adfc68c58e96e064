"""Fresh runs under each arm, on seeds and a split that nothing was learnt from."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from etastar.core.lane import Runs
from etastar.core.randomness import derive_seed
from etastar.laws.psi.driven import Ratio
from etastar.problems.small import Task
from etastar.studies.psi.arms import LINEAR, Learner
from etastar.studies.psi.tasks import Trained
from etastar.studies.record import Row
from etastar.verbs.compare.learning import at_step, reached

TARGET = 0.7
"""Share of the steps at which linear decay's training loss is the target: late enough to matter, early enough to be met."""


def driven(row: Row, task: Task, learner: Learner, trained: Trained, fresh: int) -> Row:
    """The row of a task: final losses and steps to the target of every arm, `row` being that of its experiments."""
    seed = derive_seed(trained.small.seed, "psi", task.name, task.steps, "fresh")
    runs = trained.runs(trained.on_test(task), learner.arms(row), fresh, seed)
    found = scored(runs, runs[LINEAR])
    ratio = Ratio.of({"": ("", "", losses_of(found, "trapezoid"), losses_of(found, LINEAR))}).by_task[""]
    learnt = {"learnt": learner.formulas(row), "missed": learner.missed(row)}
    return {"family": row["family"], "group": row["group"], **found, **learnt, "said": f"trapezoid / linear {ratio:.3f}"}


def scored(runs: Mapping[str, Runs], reference: Runs) -> Row:
    """Final losses and steps to the reference's loss at `TARGET`, arm by arm and seed by seed; None where there is none."""
    known = [at_step(o, round(TARGET * o.lane.steps))[0] for o in reference]
    levels = [loss for loss in known if math.isfinite(loss)]
    target = statistics.fmean(levels) if levels else -math.inf
    return {
        "losses": {name: [o.scored_loss for o in own] for name, own in runs.items()},
        "reached": {name: [reached(o, target) for o in own] for name, own in runs.items()},
    }


def losses_of(row: Row, arm: str) -> tuple[float, ...]:
    """Of a row of `scored`; infinite where a lane broke."""
    return tuple(math.inf if loss is None else loss for loss in row["losses"][arm])


def ratio_of(rows: Sequence[Row], arm: str, against: str = LINEAR) -> Ratio:
    """Final losses of one arm against another, over the rows' tasks."""
    return Ratio.of(
        {
            f"{row['task']}/{row['optimizer']}@{row['steps']}": (
                row["family"], row["group"], losses_of(row, arm), losses_of(row, against)
            )
            for row in rows
        }
    )  # fmt: skip


def failures(rows: Sequence[Row], arm: str) -> tuple[int, int]:
    """(lanes that broke, lanes)."""
    own = [loss for row in rows for loss in row["losses"][arm]]
    return sum(loss is None for loss in own), len(own)


def steps_to_target(rows: Sequence[Row], arm: str) -> tuple[float, float]:
    """(median over lanes of the share of the steps until the target, share of lanes that met it); infinite if censored.

    >>> row = {"steps": 100, "reached": {"a": [40, 60, None, None, None]}}
    >>> steps_to_target([row], "a")
    (inf, 0.4)
    """
    own = [math.inf if step is None else step / row["steps"] for row in rows for step in row["reached"][arm]]
    return statistics.median(own), sum(map(math.isfinite, own)) / len(own)
