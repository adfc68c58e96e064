"""What a network of the ideal rate is worth: fresh runs at peaks that are right, wrong, and hastily found."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from etastar.core.estimate import Estimate
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.ideal import log_ratio
from etastar.policies.policy import Policy
from etastar.policies.psi import Psi
from etastar.policies.psi_network import PsiNetwork
from etastar.problems.small.family import Task
from etastar.verbs.psi.evolution import Known
from etastar.verbs.psi.measured import SmallBench, linear

WIDE = 4.0
"""A peak wrong by this factor, either way, measures a task's width."""
PEAKS: dict[str, Callable[[Known], float | None]] = {
    "x 0.5": lambda own: 0.5 * own.peak,
    "x 1": lambda own: own.peak,
    "x 2": lambda own: 2.0 * own.peak,
    "x 4": lambda own: 4.0 * own.peak,
    "glance": lambda own: own.glance,
    "glance x 2": lambda own: own.glance and 2.0 * own.glance,
}
"""At which a network is judged: multiples of the tuned peak of linear decay, and what a hasty search found."""
RIGHT, TWICE = "x 1", "x 2"
REFERENCES = ("linear", "tuned", "closed form", "shipped")
"""Linear decay at the same peak, at its tuned peak, and the closed form and the shipped network at the same peak."""


class AtPeak(NamedTuple):
    """Final losses under the network over `steps`, at one of `PEAKS`, against a reference."""

    steps: int
    peak: str
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
    losses = bench.once(task, arms, 2, "width")
    if len(losses) < len(arms):
        return None
    pairs = [(a, b) for wrong in ("low", "high") for a, b in zip(losses[wrong], losses["own"], strict=True)]
    width = statistics.fmean(max(log_ratio(a, b), 0.0) for a, b in pairs)
    return Known(task, peak, width, bench.search(task, "glance").value)


class DrivenTask(NamedTuple):
    """A task's final losses on fresh seeds and the split kept for the end: peak -> arm -> seed by seed."""

    task: Task
    losses: dict[str, dict[str, tuple[float, ...]]]


def driven(
    bench: SmallBench, tasks: Mapping[str, Sequence[Known]], numbers: Mapping[str, tuple[float, ...]], fresh: int
) -> list[DrivenTask]:
    """Every arm at every peak, while there is time.

    Args:
        tasks: by the part that they are of.
        numbers: part -> those of the network that drives its tasks.
    """
    found = []
    for part, own in bench.in_time((part, own) for part, some in tasks.items() for own in some):
        peaks = {peak: lr for peak, of in PEAKS.items() if (lr := of(own)) is not None}
        steps, policies = own.task.steps, _policies(own.task.steps, numbers[part])
        arms = {f"{arm} {peak}": (policy, lr) for peak, lr in peaks.items() for arm, policy in policies.items()}
        arms["tuned"] = (linear(steps), own.peak)
        losses = bench.fresh(own.task, arms, fresh)
        if len(losses) == len(arms):
            of_peaks = {peak: {arm: losses[f"{arm} {peak}"] for arm in policies} for peak in peaks}
            found.append(DrivenTask(own.task, {peak: {**some, "tuned": losses["tuned"]} for peak, some in of_peaks.items()}))
    return found


def _policies(steps: int, numbers: tuple[float, ...]) -> dict[str, Policy]:
    """What is driven at every peak."""
    return {
        "linear": linear(steps),
        "closed form": Psi().over(steps),
        "network": PsiNetwork(numbers).over(steps),
        "shipped": PsiNetwork().over(steps),
    }


def judged(found: Sequence[DrivenTask]) -> tuple[AtPeak, ...]:
    """The network against every reference, at every horizon and peak at which a task was driven."""
    rows = []
    for steps in sorted({own.task.steps for own in found}):
        for peak in PEAKS:
            here = [own for own in found if own.task.steps == steps and peak in own.losses]
            for against in REFERENCES if here else ():
                ratio = ratio_of(here, peak, "network", against)
                rows.append(AtPeak(steps, peak, against, ratio.mean(), ratio.median, *ratio.record))
    return tuple(rows)


def ratio_of(found: Iterable[DrivenTask], peak: str, arm: str, against: str) -> Ratio:
    """Of an arm to another at a peak, task by task."""
    pairs = ((own.task, own.losses[peak][arm], own.losses[peak][against]) for own in found)
    return Ratio.of({task.name: (task.family.name, task.group, a, b) for task, a, b in pairs})
