"""The question has no horizon: fresh runs that end when nobody told the policy, and the numbers chosen on other groups."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from etastar.core.lane import Runs
from etastar.core.randomness import derive_seed
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Constant, Policy
from etastar.policies.psi import Psi
from etastar.policies.psi_open import PsiOpen
from etastar.policies.schedule import Schedule
from etastar.problems.small import Task
from etastar.problems.small.family import OPTIMIZERS
from etastar.studies.psi.averaged import Averaged, ScheduleFree
from etastar.studies.psi.driven import losses_of, scored
from etastar.studies.psi.tasks import Trained
from etastar.studies.record import Row

KNOWN = "linear, N known"
"""The reference, which alone is told how many steps there are; at the tuned peak of the shortest horizon."""
LEVELS = (0.5, 1.0)
"""Of that peak."""
FREE_LEVELS = (1.0, 4.0, 16.0)
"""Of Schedule-Free, whose rates are said to be one to fifty times those of a schedule."""
FALLS = ((1.0, 20.0), (0.5, 20.0), (0.5, 100.0), (1.0, 100.0))
"""(fall, scale) of the step's power; the first, the steepest, is left to the step alone."""
POWERS = (0.5, 1.0)
"""Of the loss; beside the step the first."""
FLOOR = 0.9
"""Of the lowest training loss in a task's logs: what is taken off for the excess loss, an oracle's knowledge."""
SEEN: dict[str, tuple[str, bool]] = {
    "": ("smoothed_loss", False),
    ", validation": ("valid_loss", False),
    ", excess": ("smoothed_loss", True),
}
"""Which loss eps is: (signal, whether the floor is taken off)."""


@dataclass(frozen=True)
class OpenArm:
    """A policy with numbers.

    Args:
        arm: that it is one of.
        name: unique.
        policy, level: and its rate, in peaks.
        optimizer: the task's own, averaged, or Schedule-Free.
    """

    arm: str
    name: str
    policy: Policy
    level: float
    optimizer: str = "own"


def candidates(steps: int, floor: float = 0.0) -> list[OpenArm]:
    """Every arm with every choice of its numbers."""
    found = [OpenArm(KNOWN, "", Schedule(decay=1.0, curve="linear").over(steps), level) for level in LEVELS]
    found += [OpenArm("trapezoid, N known", "", Psi().over(steps), level) for level in LEVELS]
    found += [OpenArm("constant", "", PsiOpen(), level) for level in LEVELS]
    found += [_open("Psi(i)", level, *falls) for falls in FALLS for level in LEVELS]
    for suffix, (sees, excess) in SEEN.items():
        off = floor if excess else 0.0
        found += [_open(f"Psi(eps){suffix}", lv, 0.0, 1.0, power, sees, off) for power in POWERS for lv in LEVELS]
        found += [
            _open(f"Psi(eps, i){suffix}", level, *falls, POWERS[0], sees, off) for falls in FALLS[1:] for level in LEVELS
        ]
    found += [OpenArm("constant, averaged", "", PsiOpen(), level, "averaged") for level in LEVELS]
    root = PsiOpen(*FALLS[2])
    found += [OpenArm("1/sqrt(t), averaged", "", root, level, "averaged") for level in LEVELS]
    if ScheduleFree.installed():
        found += [OpenArm("Schedule-Free", "", Constant(), level, "schedule-free") for level in FREE_LEVELS]
    return [OpenArm(c.arm, f"{c.arm}{c.name} x {c.level:g}", c.policy, c.level, c.optimizer) for c in found]


def _open(
    arm: str,
    level: float,
    fall: float,
    scale: float,
    power: float = 0.0,
    sees: str = "smoothed_loss",
    floor: float = 0.0,
) -> OpenArm:
    numbers = f" fall {fall:g} scale {scale:g}" * bool(fall) + f" power {power:g}" * bool(power)
    return OpenArm(arm, numbers, PsiOpen(fall, scale, power, sees, floor), level)


def driven_unknown(row: Row, task: Task, trained: Trained, seeds: int) -> Row:
    """The row of a task at a horizon: every candidate on the same fresh seeds, `row` being that of its experiments."""
    seed = derive_seed(trained.small.seed, "psi", task.name, task.steps, "unknown")
    optimizers = {"averaged": Averaged(OPTIMIZERS[task.optimizer]), "schedule-free": ScheduleFree(task.optimizer)}
    chosen, runs = candidates(task.steps, FLOOR * row["floor"]), dict[str, Runs]()
    for kind in dict.fromkeys(c.optimizer for c in chosen):
        arms = {c.name: (c.policy, c.level * row["peak"]) for c in chosen if c.optimizer == kind}
        runs |= trained.runs(trained.on_test(task, optimizers.get(kind)), arms, seeds, seed)
    found = scored(runs, runs[f"{KNOWN} x 1"])
    return {"family": row["family"], "group": row["group"], **found, "said": f"{len(chosen)} candidates"}


def arms_of(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Arm -> names of its candidates; those of Psi(eps, i) are Psi(i)'s, too, with a power of the loss of 0."""
    named: dict[str, list[str]] = {}
    for c in candidates(rows[0]["steps"]):
        if all(c.name in row["losses"] for row in rows):
            named.setdefault(c.arm, []).append(c.name)
    return {arm: names + named["Psi(i)"] if arm.startswith("Psi(eps, i)") else names for arm, names in named.items()}


def chosen_among(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The candidate with the lowest mean ln(loss) against the reference: every task once, its horizons alike."""
    worth = {
        name: statistics.fmean(statistics.fmean(_log_worth(row, name) for row in own) for own in by_task(rows).values())
        for name in names
    }
    return min(names, key=lambda name: (worth[name], name))


def _log_worth(row: Row, name: str) -> float:
    pairs = zip(losses_of(row, name), losses_of(row, f"{KNOWN} x 1"), strict=True)
    return statistics.fmean(log_ratio(own, reference) for own, reference in pairs)


def as_driven(rows: Sequence[Row]) -> list[Row]:
    """The rows with one entry an arm: the candidate chosen on tasks of other groups under the same optimizer."""
    named, found = arms_of(rows) if rows else {}, []
    chosen: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        key = row["group"], row["optimizer"]
        others = [other for other in rows if other["group"] != key[0] and other["optimizer"] == key[1]]
        if not others:
            continue  # nothing to choose by
        if key not in chosen:
            chosen[key] = {arm: chosen_among(others, names) for arm, names in named.items()}
        own = chosen[key]
        picked = {what: {arm: row[what][name] for arm, name in own.items()} for what in ("losses", "reached")}
        found.append({**row, **picked, "chosen": own})
    return found


def by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of every task, one a horizon."""
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        tasks.setdefault(f"{row['task']}/{row['optimizer']}", []).append(row)
    return tasks


def pooled(rows: Sequence[Row], arm: str, against: str) -> Ratio:
    """Final losses of one arm against another: every task once, its horizons alike."""
    return Ratio.of(
        {
            name: (
                own[0]["family"],
                own[0]["group"],
                [loss for row in own for loss in losses_of(row, arm)],
                [loss for row in own for loss in losses_of(row, against)],
            )
            for name, own in by_task(rows).items()
        }
    )
