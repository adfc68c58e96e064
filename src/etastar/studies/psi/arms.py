"""What is learnt from experiments on other groups, as policies: the arms that fresh runs judge."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from etastar.laws.psi.closed_form import ClosedForm
from etastar.laws.psi.literal_fits import fitted
from etastar.policies.compose import squeezed
from etastar.policies.policy import Policy
from etastar.policies.psi_network import PsiNetwork
from etastar.policies.schedule import Schedule
from etastar.studies.psi.recorded import Experiments
from etastar.studies.record import Row

LINEAR = "linear"
"""The reference: linear decay at its tuned peak."""
HIGH = (2.0, 4.0)
"""Times the tuned peak: rates that are too high."""
WRONG_PEAK = ("linear", "closed form", "network")
"""What is driven there."""


@dataclass(frozen=True)
class Arm:
    """One way to an answer.

    Args:
        name: on pages and in rows.
        way: L1 to L4 of the question's ways, or what else it is for.
        what: in words.
    """

    name: str
    way: str
    what: str


ARMS = (
    Arm("logs, curve", "L1", "argmax of the convergence that a curve of second order in (i, eps, alpha) predicts from logs"),
    Arm("logs, symbolic", "L1", "the same with the formula that a symbolic search finds"),
    Arm("logs, network", "L1", "the same with a network of 41 numbers"),
    Arm("forks, greedy", "L1", "the same network on forks, which confound nothing: convergence over the next tenth"),
    Arm("forks, critic", "L3", "the same network on what the forks were worth at the end of training"),
    Arm("imitation", "L2", "the trapezoid of i, fitted to the rates of each task's best run"),
    Arm("imitation of loss", "L2", "the trapezoid of i times a power of eps, fitted likewise"),
    Arm("trapezoid", "L3", "the trapezoid of i, fitted to the best of the forks: the mean Psi"),
    Arm("trapezoid of loss", "L3", "the trapezoid of i times a power of eps: Psi(eps, i)"),
    Arm("loss alone", "L3", "a power of eps: Psi(eps)"),
    Arm("same optimizer", "conditional", "the trapezoid, fitted to tasks of the same optimizer alone"),
    Arm("own task", "conditional", "the trapezoid, fitted to the task's own forks: Psi(i | D, H)"),
    Arm("network", "L4", "the closed form times the shipped network of the training's state"),
    Arm("others' peak", "conditional", "linear decay at the median of the other groups' tuned peaks, same optimizer"),
)
"""Beside linear decay. What is fitted is fitted without the task's group, but for "own task"; L4 is as it is shipped."""


@dataclass
class Learner:
    """Learns every arm from experiments, once for all tasks that leave the same ones out.

    Args:
        known: every task's experiments.
        steps: over which is driven.
    """

    known: Experiments
    steps: int
    _learnt: dict[tuple[str, ...], Policy] = field(init=False, default_factory=dict)

    def arms(self, row: Row) -> dict[str, tuple[Policy, float]]:
        """Name -> (policy, rate), for the task of a recorded row; what is fitted is fitted without its group."""
        group, optimizer, peak = row["group"], row["optimizer"], row["peak"]
        others = self.known.without(group)
        like = others.where(optimizer=optimizer)
        linear = Schedule(decay=1.0, curve="linear").over(self.steps)
        arms: dict[str, tuple[Policy, float]] = {LINEAR: (linear, peak)}
        arms |= {name: (self._once((name, group), others, learn), peak) for name, learn in LEARNT.items()}
        arms["same optimizer"] = self._once(("same optimizer", group, optimizer), like, LEARNT["trapezoid"]), peak
        own = self.known.where(task=row["task"], optimizer=optimizer)
        arms["own task"] = self._once(("own task", row["task"], optimizer), own, LEARNT["trapezoid"]), peak
        arms["network"] = PsiNetwork().over(self.steps), peak
        arms["others' peak"] = linear, math.exp(statistics.median(math.log(r["peak"]) for r in like.rows))
        wrong = dict(zip(WRONG_PEAK, (LINEAR, "trapezoid", "network"), strict=True))
        return arms | {at_peak(name, m): (arms[of][0], m * peak) for m in HIGH for name, of in wrong.items()}

    def _once(self, key: tuple[str, ...], rows: Experiments, learn: Callable[[Experiments], Policy]) -> Policy:
        if key not in self._learnt:
            self._learnt[key] = squeezed(learn(rows), self.steps)
        return self._learnt[key]


def _closed(form: str) -> Callable[[Experiments], Policy]:
    return lambda rows: ClosedForm.fit(rows.ideals, form).policy()


LEARNT: dict[str, Callable[[Experiments], Policy]] = {
    "logs, curve": lambda rows: fitted(rows.logged, "curve"),
    "logs, symbolic": lambda rows: fitted(rows.logged, "symbolic"),
    "logs, network": lambda rows: fitted(rows.logged, "network"),
    "forks, greedy": lambda rows: fitted(rows.forked("soon"), "network"),
    "forks, critic": lambda rows: fitted(rows.forked("final"), "network"),
    "imitation": lambda rows: ClosedForm.fit(rows.imitated, "trapezoid").policy(),
    "imitation of loss": lambda rows: ClosedForm.fit(rows.imitated, "trapezoid-of-loss").policy(),
    "trapezoid": _closed("trapezoid"),
    "trapezoid of loss": _closed("trapezoid-of-loss"),
    "loss alone": _closed("loss-alone"),
}
"""Arm -> how it is learnt from the experiments of other groups."""


def at_peak(name: str, multiple: float) -> str:
    """What an arm is called at a multiple of the tuned peak."""
    return f"{name} x {multiple:g}"
