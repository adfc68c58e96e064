"""What a network of the ideal rate is worth: fresh runs at peaks that are right, wrong, and hastily found."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from etastar.core.design import Plan
from etastar.core.estimate import Estimate
from etastar.core.lane import Criterion
from etastar.designs.best_rate.best_lr import BestLR
from etastar.designs.psi.tuned_peak import TunedPeak
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Policy
from etastar.policies.psi import Psi
from etastar.policies.psi_network import TRAINED, PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.find.efforts import EFFORTS
from etastar.verbs.psi.evolution import Known
from etastar.verbs.psi.measured import UNKNOWN_LR, SmallBench, linear

WIDE = 4.0
"""A peak wrong by this factor, either way, measures a task's width."""
WIDTHS = 2
"""Seeds of it."""
PEAKS: dict[str, Callable[[Known], float | None]] = {
    "x 0.5": lambda own: 0.5 * own.peak,
    "x 1": lambda own: own.peak,
    "x 2": lambda own: 2.0 * own.peak,
    "x 4": lambda own: 4.0 * own.peak,
    "glance": lambda own: own.found.get("glance"),
    "glance x 2": lambda own: 2.0 * own.found["glance"] if "glance" in own.found else None,
    "quick": lambda own: own.found.get("quick"),
    "best of two": lambda own: own.found.get("best of two"),
}
"""At which a network is judged: multiples of the tuned peak of linear decay, and what cheap searches found."""
RIGHT, TWICE = "x 1", "x 2"
ALONE = ("quick", "best of two")
"""Peaks at which linear decay alone is driven: what the steps of a search could have bought instead."""
PAIR = 2.0
"""Of the rate in use, up and down: a grid of two."""
REFERENCES = ("linear", "tuned", "closed form", "shipped")
"""Linear decay at the same peak, at its tuned peak, and the closed form and the shipped network at the same peak."""
PAIRS = (*(("network", against) for against in REFERENCES), ("closed form", "linear"), ("linear", "tuned"))
"""(arm, what it is held against)."""


class AtPeak(NamedTuple):
    """Final losses of an arm over `steps`, at one of `PEAKS`, against another's."""

    steps: int
    peak: str
    arm: str
    against: str
    ratio: Estimate
    median: float
    won: int
    tied: int
    lost: int


def known_task(bench: SmallBench, task: Task) -> Known | None:
    """A task with the tuned peak of linear decay, and what a peak wrong by a factor of four costs; None without a peak."""
    peak = bench.peak(task).peak.value
    if peak is None:
        return None
    policy = linear(task.steps)
    arms: Mapping[str, tuple[Policy, float]] = {
        "own": (policy, peak), "low": (policy, peak / WIDE), "high": (policy, peak * WIDE)
    }  # fmt: skip
    losses = bench.once(task, arms, WIDTHS, "width", kept=True)
    if len(losses) < len(arms):
        return None
    pairs = [(a, b) for wrong in ("low", "high") for a, b in zip(losses[wrong], losses["own"], strict=True)]
    width = statistics.fmean(max(log_ratio(a, b), 0.0) for a, b in pairs)
    found = {effort: lr for effort in ("glance", "quick") if (lr := bench.search(task, effort).value) is not None}
    return Known(task, peak, width, found | _best_of_two(bench, task))


def planned(task: Task, fresh: int) -> Plan:
    """What `known_task` and `driven` train of a task at most: peak, width, three searches; every arm at every peak."""
    criterion, own = Criterion(), linear(task.steps)
    searches = (BestLR(criterion, task.steps, own, UNKNOWN_LR, EFFORTS[effort]).planned() for effort in ("glance", "quick"))
    arms = _arms(Known(task, 1.0, 1.0, dict.fromkeys(("glance", "quick", "best of two"), 1.0)), TRAINED, tuple(PEAKS))
    lanes = WIDTHS * 3 + 2 + len(arms) * fresh
    return sum(searches, TunedPeak(criterion, own, task.steps, UNKNOWN_LR).planned()) + Plan(lanes, lanes * task.steps)


def _best_of_two(bench: SmallBench, task: Task) -> dict[str, float]:
    """The better of two rates around that in use, by one training of each."""
    start = bench.start(task)
    rates = {"low": start / PAIR, "high": start * PAIR}
    losses = bench.once(task, {name: (linear(task.steps), lr) for name, lr in rates.items()}, 1, "two", kept=True)
    known = {name: own[0] for name, own in losses.items()}
    return {"best of two": rates[min(known, key=lambda name: known[name])]} if known else {}


class DrivenTask(NamedTuple):
    """A task's final losses on fresh seeds and the split kept for the end: peak -> arm -> seed by seed."""

    task: Task
    losses: dict[str, dict[str, tuple[float, ...]]]


def driven(
    bench: SmallBench,
    tasks: Mapping[str, Sequence[Known]],
    numbers: Mapping[str, tuple[float, ...]],
    fresh: int,
    wanted: Collection[str] = tuple(PEAKS),
) -> list[DrivenTask]:
    """Every arm at every peak, while there is time.

    Args:
        tasks: by the part that they are of.
        numbers: part -> those of the network that drives its tasks; none for a part that the shipped one drives.
        fresh: seeds.
        wanted: of `PEAKS`.
    """
    found = []
    for part, own in bench.in_time((part, own) for part, some in tasks.items() for own in some):
        arms = _arms(own, numbers.get(part), wanted)
        losses = bench.fresh(own.task, {f"{peak}: {name}": of for (peak, name), of in arms.items()}, fresh)
        if len(losses) == len(arms):
            by_peak: dict[str, dict[str, tuple[float, ...]]] = {}
            for peak, name in arms:
                by_peak.setdefault(peak, {"tuned": losses[f"{RIGHT}: linear"]})[name] = losses[f"{peak}: {name}"]
            found.append(DrivenTask(own.task, by_peak))
    return found


def _arms(
    own: Known, numbers: tuple[float, ...] | None, wanted: Collection[str]
) -> dict[tuple[str, str], tuple[Policy, float]]:
    """(peak, name) -> what is driven there; linear decay at its tuned peak among them."""
    steps = own.task.steps
    policies: dict[str, Policy] = {"closed form": Psi().over(steps), "network": PsiNetwork(numbers or ()).over(steps)}
    if numbers:
        policies["shipped"] = PsiNetwork().over(steps)
    arms: dict[tuple[str, str], tuple[Policy, float]] = {(RIGHT, "linear"): (linear(steps), own.peak)}
    for peak, lr in ((peak, PEAKS[peak](own)) for peak in wanted):
        if lr is not None:
            arms[peak, "linear"] = linear(steps), lr
            arms |= {} if peak in ALONE else {(peak, name): (policy, lr) for name, policy in policies.items()}
    return arms


def judged(found: Sequence[DrivenTask]) -> tuple[AtPeak, ...]:
    """Every pair of arms, at every horizon and peak at which tasks were driven."""
    rows = []
    for steps in sorted({own.task.steps for own in found}):
        for peak, (arm, against) in ((peak, pair) for peak in PEAKS for pair in PAIRS):
            here = [own for own in found if own.task.steps == steps and {arm, against} <= set(own.losses.get(peak, ()))]
            if here and (arm, peak) != ("linear", RIGHT):
                ratio = ratio_of(here, peak, arm, against)
                rows.append(AtPeak(steps, peak, arm, against, ratio.mean(), ratio.median, *ratio.record))
    return tuple(rows)


def ratio_of(found: Iterable[DrivenTask], peak: str, arm: str, against: str) -> Ratio:
    """Of an arm to another at a peak, task by task."""
    pairs = ((own.task, own.losses[peak][arm], own.losses[peak][against]) for own in found)
    return Ratio.of({task.name: (task.family.name, task.group, a, b) for task, a, b in pairs})
