"""From what a user calls a schedule (a name, a `Policy`, a torch scheduler) to a `Policy` over a horizon."""

from __future__ import annotations

import ast
import itertools
from typing import Any, cast

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.policies.compose import Then, squeezed
from etastar.policies.policy import Constant, Policy
from etastar.policies.registry import SCHEDULES, configured
from etastar.policies.torch_schedule import MakeOptimizer, SchedulerFactory, torch_schedule


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
        return squeezed(parsed(given), steps)
    if isinstance(given, Policy):
        own = getattr(given, "steps", None)
        if isinstance(own, int) and own > steps:
            raise ProblemError(
                f"the schedule spans {own} steps but only {steps} are planned; shorten it, e.g. with schedule.over({steps})"
            )
        return given if isinstance(own, int) else squeezed(given, steps)
    if hasattr(given, "init") and hasattr(given, "step") and not isinstance(given, type):
        raise ProblemError(
            f"the policy {given!r} does not say what it reads; expected an attribute `reads`: () for a schedule, or names "
            "of signals, e.g. ('loss',)"
        )
    if callable(given):
        return torch_schedule(cast(SchedulerFactory, given), steps, make)
    names = ", ".join(SCHEDULES)
    raise ProblemError(
        f"schedule is a {type(given).__name__}; expected one of {names}, a Policy, or a function (optimizer) -> LRScheduler"
    )


def parsed(text: str) -> Policy:
    """The policy that a text means: a name, or several, one after the other, `NAME@WHEN>NAME`.

    WHEN is a share of all steps (0.75) or a step (300); the next policy starts there and has the rest of the steps.

    >>> policy = parsed("constant@0.75>linear")
    >>> policy.at, policy.first, policy.rest.curve
    (0.75, Constant(), 'linear')
    """
    *earlier, last = text.split(">")
    changes: list[tuple[Policy, float | int]] = []
    for part in earlier:
        name, at, when = part.rpartition("@")
        if not at:
            raise ProblemError(f"schedule is {text!r}; expected NAME@WHEN before each '>', e.g. constant@0.75>linear")
        changes.append((_named(name), _when(when, text)))
    whens = [when for _, when in changes]
    if len({type(when) for when in whens}) > 1 or any(b <= a for a, b in itertools.pairwise(whens)):
        raise ProblemError(
            f"schedule is {text!r}; expected rising shares, or rising steps, e.g. constant@0.5>cosine@0.8>linear"
        )
    policies = [policy for policy, _ in changes] + [_named(last)]
    policy = policies[0]
    for i, (when, rest) in enumerate(zip(whens, policies[1:], strict=True)):
        # within the steps until the next change, a share of all steps is a larger one
        whole = whens[i + 1] if i + 1 < len(whens) and isinstance(when, float) else 1
        policy = Then(policy, when / whole if isinstance(when, float) else when, rest)
    return policy


def _when(text: str, whole: str) -> float | int:
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        raise ProblemError(f"schedule is {whole!r}: {text!r} is no share and no step; expected e.g. 0.75 or 300") from None


def _named(text: str) -> Policy:
    name, colon, settings = text.partition(":")
    if name not in SCHEDULES:
        raise ProblemError(
            f"schedule is {shown(text)}; expected one of {', '.join(SCHEDULES)}, a Policy, or (optimizer) -> LRScheduler"
        )
    changes: dict[str, Any] = {}
    if colon and not settings.strip(" ,"):
        raise ProblemError(f"schedule is {shown(text)}; expected settings after the colon, e.g. wsd:decay=0.5")
    for part in filter(None, settings.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ProblemError(f"schedule is {shown(text)}; expected settings as KEY=VALUE, e.g. wsd:decay=0.5")
        if key in changes:
            raise ProblemError(f"schedule is {shown(text)}, which gives {key} twice; expected each once")
        try:
            changes[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[key] = value
    return configured(name, changes)
