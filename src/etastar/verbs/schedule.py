"""`show_schedule`: what a schedule does to the rate, before anyone trains with it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

import torch

from etastar import arguments
from etastar.errors import ProblemError, attributed
from etastar.policies.compose import groups_named
from etastar.policies.named import policy_over
from etastar.policies.policy import Policy, rates_over
from etastar.verbs.answer import Answer, Made

SHOWN = arguments.Whole(
    1, 100_000, words="1 to 100,000 steps: a longer schedule has the same shape, and a hundred thousand rates take a second"
)
POINTS = 11
"""Steps whose rates are listed: both ends and every tenth."""
STILL = 1e-9
"""A rate that changes by less than this share of the largest one holds still."""
RISES, HOLDS, FALLS, JUMPS = "rises", "holds", "falls", "jumps"


class Phase(NamedTuple):
    """Steps `first` to `last` over which the rate rises, holds, falls, or jumps from one step to the next."""

    what: str
    first: int
    last: int
    first_rate: float
    last_rate: float


class StepRate(NamedTuple):
    """The rate at a step."""

    step: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class ScheduleAnswer(Answer):
    """A schedule over a number of steps; `problem` is what it is called.

    Args:
        policy: in full.
        of_lr: the lane's rate, of which the schedule takes its shares.
        rates: at steps 0 .. steps - 1.
        phases: first to last.
    """

    command = "schedule"
    TOLD = ("policy", "steps", "of_lr", "phases", "points", "sum_of_rates", "constant_steps")

    policy: str
    of_lr: float
    rates: tuple[float, ...] = field(repr=False)
    phases: tuple[Phase, ...]

    @property
    def steps(self) -> int:
        """How many."""
        return len(self.rates)

    @property
    def points(self) -> tuple[StepRate, ...]:
        """The rates at both ends and at every tenth of the steps."""
        last = self.steps - 1
        return tuple(StepRate(t, self.rates[t]) for t in sorted({round(i * last / (POINTS - 1)) for i in range(POINTS)}))

    @property
    def sum_of_rates(self) -> float:
        """How far gradients of one direction and length 1 lead."""
        return math.fsum(self.rates)

    @property
    def constant_steps(self) -> float:
        """Steps at the lane's rate, never changed, whose rates have the same sum."""
        return self.sum_of_rates / self.of_lr

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        shape = ", ".join(p.what for p in self.phases[:6]) + (" ..." if len(self.phases) > 6 else "")
        return (
            f"{shape} over {self.steps:,} steps; rates from {min(self.rates):.3g} to {max(self.rates):.3g}, their sum that "
            f"of {self.constant_steps:.4g} steps at {self.of_lr:g}"
        )


@attributed
def show_schedule(schedule: str | Policy, *, steps: int = 100, lr: float = 1.0) -> ScheduleAnswer:
    """The rates of a schedule, the phases they go through, and their sum.

    Args:
        schedule: a name, with settings, several of them after one another ("constant@0.75>linear"), or a `Policy`.
        steps: of the training.
        lr: the lane's rate; with 1 the rates are shares of it.

    Raises:
        ProblemError: no such schedule; one that reads signals of the training or has rates by group; steps or rate unusable.

    >>> answer = show_schedule("constant@0.5>linear", steps=8)
    >>> [(p.what, p.first, p.last) for p in answer.phases], answer.constant_steps
    ([('holds', 0, 4), ('falls', 4, 7)], 6.5)
    """
    started = time.monotonic()
    SHOWN("steps", steps)
    arguments.RATE("lr", lr)
    if not isinstance(schedule, (str, Policy)):
        raise ProblemError(f"schedule is {arguments.shown(schedule)}; expected a name, e.g. wsd:decay=0.5, or a Policy")
    policy = policy_over(schedule, steps)
    name = schedule if isinstance(schedule, str) else repr(schedule)
    if policy.reads:
        read = ", ".join(signal if isinstance(signal, str) else signal.signal for signal in policy.reads)
        raise ProblemError(
            f"the schedule {name} reads {read}, so its rates depend on the training; expected one that reads nothing, "
            "e.g. wsd: train with this one"
        )
    if groups := groups_named(policy):
        raise ProblemError(f"the schedule {name} gives {', '.join(groups)} rates of their own; show one group's at a time")
    rates = tuple(float(rate) for rate in rates_over(policy, torch.tensor(float(lr), dtype=torch.float64), steps))
    made = Made(seed=0, optimizer="", cost={"seconds": time.monotonic() - started})
    return ScheduleAnswer(
        problem=name, policy=repr(policy), of_lr=float(lr), rates=rates, phases=phases_of(rates), made=made
    )


def phases_of(rates: Sequence[float]) -> tuple[Phase, ...]:
    """The longest runs of steps over which the rate goes one way; a change of a single step between two others is a jump.

    >>> [(p.what, p.first, p.last) for p in phases_of([0.5, 1.0, 1.0, 1.0, 0.2, 0.3, 0.4])]
    [('jumps', 0, 1), ('holds', 1, 3), ('jumps', 3, 4), ('rises', 4, 6)]
    """
    if len(rates) == 1:
        return (Phase(HOLDS, 0, 0, rates[0], rates[0]),)
    still = STILL * max(map(abs, rates))
    ways = [HOLDS if abs(b - a) <= still else RISES if b > a else FALLS for a, b in pairwise(rates)]
    found, first = [], 0
    for way, run in groupby(ways):
        last = first + len(list(run))
        what = JUMPS if last == first + 1 and way != HOLDS and len(rates) > 2 else way
        found.append(Phase(what, first, last, rates[first], rates[last]))
        first = last
    return tuple(found)
