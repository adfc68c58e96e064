"""What is learnt from experiments on other groups, as policies: the arms that fresh runs judge."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from etastar.laws.psi.closed_form import ClosedForm
from etastar.laws.psi.literal import Observed
from etastar.laws.psi.literal_fits import error_of, fitted
from etastar.policies.compose import squeezed
from etastar.policies.policy import Policy
from etastar.policies.psi import FORMS, Psi
from etastar.policies.psi_argmax import PsiArgmax
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
class DrivenArm:
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
    DrivenArm(
        "logs, curve", "L1", "argmax of the convergence that a curve of second order in (i, eps, alpha) says, from logs"
    ),
    DrivenArm("logs, symbolic", "L1", "the same with the formula that a symbolic search finds"),
    DrivenArm("logs, network", "L1", "the same with a network of 41 numbers"),
    DrivenArm("forks, greedy", "L1", "the same network on forks, which confound nothing: convergence over the next tenth"),
    DrivenArm("forks, critic", "L3", "the same network on what the forks were worth at the end of training"),
    DrivenArm("imitation", "L2", "the trapezoid of i, fitted to the rates of each task's best run"),
    DrivenArm("imitation of loss", "L2", "the trapezoid of i times a power of eps, fitted likewise"),
    DrivenArm("trapezoid", "L3", "the trapezoid of i, fitted to the best of the forks: the mean Psi"),
    DrivenArm("trapezoid of loss", "L3", "the trapezoid of i times a power of eps: Psi(eps, i)"),
    DrivenArm("loss alone", "L3", "a power of eps: Psi(eps)"),
    DrivenArm("same optimizer", "conditional", "the trapezoid, fitted to tasks of the same optimizer alone"),
    DrivenArm("own task", "conditional", "the trapezoid, fitted to the task's own forks: Psi(i | D, H)"),
    DrivenArm(
        "own and others",
        "conditional",
        "the trapezoid, fitted to the task's own forks and the others', half each",
    ),
    DrivenArm("network", "L4", "the closed form times the shipped network of the training's state"),
    DrivenArm("others' peak", "conditional", "linear decay at the median of the other groups' tuned peaks, same optimizer"),
)
"""Beside linear decay. What is fitted is fitted without the task's group, but for what is named own; L4 is as shipped."""


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
        both = Experiments(others.rows + own.rows * len(others.rows))
        arms["own and others"] = self._once(("own and others", row["task"], optimizer), both, LEARNT["trapezoid"]), peak
        arms["network"] = PsiNetwork().over(self.steps), peak
        arms["others' peak"] = linear, math.exp(statistics.median(math.log(r["peak"]) for r in like.rows))
        wrong = dict(zip(WRONG_PEAK, (LINEAR, "trapezoid", "network"), strict=True))
        return arms | {at_peak(name, m): (arms[of][0], m * peak) for m in HIGH for name, of in wrong.items()}

    def formulas(self, row: Row) -> dict[str, str]:
        """Arm -> what was learnt for a task's group, where it is a formula."""
        known = {name: self._learnt[name, row["group"]] for name in LEARNT}
        return {name: text for name, policy in known.items() if (text := formula_of(policy))}

    def missed(self, row: Row) -> dict[str, float]:
        """Arm -> what its predictor misses on the rows of the task's group, to which it was not fitted."""
        own = self.known.where(group=row["group"])
        return {
            name: round(error_of(self._learnt[name, row["group"]], seen(own)), 4)  # type: ignore[arg-type]
            for name, seen in SEEN.items()
        }

    def _once(self, key: tuple[str, ...], rows: Experiments, learn: Callable[[Experiments], Policy]) -> Policy:
        if key not in self._learnt:
            self._learnt[key] = squeezed(learn(rows), self.steps)
        return self._learnt[key]


def _closed(form: str) -> Callable[[Experiments], Policy]:
    return lambda rows: ClosedForm.fit(rows.ideals, form).policy()


def _promise(arm: str, kind: str) -> Callable[[Experiments], Policy]:
    return lambda rows: fitted(SEEN[arm](rows), kind)


SEEN: dict[str, Callable[[Experiments], list[Observed]]] = {
    "logs, curve": lambda rows: rows.logged,
    "logs, symbolic": lambda rows: rows.logged,
    "logs, network": lambda rows: rows.logged,
    "forks, greedy": lambda rows: rows.forked("soon"),
    "forks, critic": lambda rows: rows.forked("final"),
}
"""Arm -> the rows of which its predictor was made."""
LEARNT: dict[str, Callable[[Experiments], Policy]] = {
    "logs, curve": _promise("logs, curve", "curve"),
    "logs, symbolic": _promise("logs, symbolic", "symbolic"),
    "logs, network": _promise("logs, network", "network"),
    "forks, greedy": _promise("forks, greedy", "network"),
    "forks, critic": _promise("forks, critic", "network"),
    "imitation": lambda rows: ClosedForm.fit(rows.imitated, "trapezoid").policy(),
    "imitation of loss": lambda rows: ClosedForm.fit(rows.imitated, "trapezoid-of-loss").policy(),
    "trapezoid": _closed("trapezoid"),
    "trapezoid of loss": _closed("trapezoid-of-loss"),
    "loss alone": _closed("loss-alone"),
}
"""Arm -> how it is learnt from the experiments of other groups."""


def formula_of(policy: Policy) -> str:
    """A learnt policy in words; "" for a network.

    >>> formula_of(Psi("power", (-0.1, 1.0)))
    'level -0.1, fall 1'
    >>> formula_of(PsiArgmax(("1", "s*a"), (0.5, -2.0)))
    '0.5 - 2 s*a'
    """
    if isinstance(policy, Psi):
        return ", ".join(f"{name} {v:.3g}" for name, v in zip(FORMS[policy.form].names, policy.numbers, strict=True))
    if isinstance(policy, PsiArgmax):
        terms = [f"{w:+.3g} {text}".removesuffix(" 1") for w, text in zip(policy.numbers, policy.terms, strict=False)]
        return " ".join(f"{text[0]} {text[1:]}" for text in terms).removeprefix("+ ")
    return ""


def at_peak(name: str, multiple: float) -> str:
    """What an arm is called at a multiple of the tuned peak."""
    return f"{name} x {multiple:g}"
