"""From what a user calls a schedule (a name, a `Policy`, a torch scheduler) to a `Policy` over a horizon."""

from __future__ import annotations

import ast
from typing import Any, cast

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.policies.policy import Constant, Policy
from etastar.policies.schedule import Schedule
from etastar.policies.torch_schedule import MakeOptimizer, SchedulerFactory, torch_schedule

SCHEDULES: dict[str, Policy] = {
    "constant": Constant(),
    "linear": Schedule(decay=1.0, curve="linear"),
    "cosine": Schedule(decay=1.0, curve="cosine"),
    "warmup-cosine": Schedule(warmup=0.1, decay=0.9, curve="cosine"),
    "warmup-linear": Schedule(warmup=0.1, decay=0.9, curve="linear"),
    "wsd": Schedule(warmup=0.05, decay=0.2, curve="linear"),
}
"""name -> schedule without a horizon. `NAME:key=value,...` changes its shares: `wsd:decay=0.5,curve=sqrt`."""


def policy_over(given: Any, steps: int, make: MakeOptimizer | None = None) -> Policy:
    """The policy that `given` means over a horizon of `steps`.

    Args:
        given: None (constant), a name of `SCHEDULES` with or without settings, a `Policy`, or (optimizer) -> LRScheduler.
        make: the user's optimizer, on which a scheduler is read off; see `torch_schedule`.

    Raises:
        ProblemError: no such schedule; a schedule longer than the horizon; a scheduler that cannot be read off.

    >>> policy_over("wsd:decay=0.5", 100)
    Schedule(warmup=0.05, decay=0.5, curve='linear', floor=0.0, steps=100)
    """
    if given is None:
        return Constant()
    if isinstance(given, str):
        return squeezed(_named(given), steps)
    if isinstance(given, Policy):
        own = getattr(given, "steps", None)
        if isinstance(own, int) and own > steps:
            raise ProblemError(
                f"the schedule spans {own} steps but only {steps} are planned; shorten it, e.g. with schedule.over({steps})"
            )
        return given if isinstance(own, int) else squeezed(given, steps)
    if callable(given):
        return torch_schedule(cast(SchedulerFactory, given), steps, make)
    names = ", ".join(SCHEDULES)
    raise ProblemError(
        f"schedule is a {type(given).__name__}; expected one of {names}, a Policy, or a function (optimizer) -> LRScheduler"
    )


def squeezed(policy: Policy, steps: int) -> Policy:
    """`policy` over `steps` steps where it has a horizon (`over`); else the policy itself."""
    over = getattr(policy, "over", None)
    return over(steps) if over else policy


def has_horizon(policy: Policy) -> bool:
    """Whether `squeezed` gives the whole of `policy`'s shape: it says so with `over`, or is constant."""
    return isinstance(policy, Constant) or hasattr(policy, "over")


def _named(text: str) -> Policy:
    name, colon, settings = text.partition(":")
    if name not in SCHEDULES:
        raise ProblemError(
            f"schedule is {shown(text)}; expected one of {', '.join(SCHEDULES)}, a Policy, or (optimizer) -> LRScheduler"
        )
    policy, changes = SCHEDULES[name], {}
    if colon and not settings.strip(" ,"):
        raise ProblemError(f"schedule is {shown(text)}; expected settings after the colon, e.g. wsd:decay=0.5")
    for part in filter(None, settings.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not isinstance(policy, Schedule) or key not in ("warmup", "decay", "curve", "floor"):
            raise ProblemError(
                f"schedule is {shown(text)}; expected settings of warmup, decay, curve or floor, e.g. wsd:decay=0.5"
            )
        if key in changes:
            raise ProblemError(f"schedule is {shown(text)}, which gives {key} twice; expected each once")
        try:
            changes[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[key] = value
    return Schedule(**{**_shares(policy), **changes}) if isinstance(policy, Schedule) else policy


def _shares(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in ("warmup", "decay", "curve", "floor")}
