"""From what a user calls a schedule (a name, a `Policy`, a torch scheduler) to a `Policy` over a horizon."""

from __future__ import annotations

import ast
import itertools
from typing import Any, cast

from etastar.arguments import shown
from etastar.errors import ProblemError
from etastar.policies import third_party
from etastar.policies.compose import Then, squeezed
from etastar.policies.policy import Constant, Policy
from etastar.policies.registry import SCHEDULES, configured
from etastar.policies.torch_schedule import MakeOptimizer, SchedulerFactory, torch_schedule


def policy_over(given: Any, steps: int, make: MakeOptimizer | None = None) -> Policy:
    """The policy that `given` means over a horizon of `steps`.

    Args:
        given: None (constant), a name of `SCHEDULES` or of another distribution's policy, with or without settings, several
            of them (see `parsed`), a `Policy`, or (optimizer) -> LRScheduler.
        make: the user's optimizer, on which a scheduler is read off; see `torch_schedule`.

    Raises:
        ProblemError: no such schedule; a schedule longer than the horizon; a scheduler that cannot be read off.

    >>> policy_over("wsd:decay=0.5", 100)
    Schedule(warmup=0.05, decay=0.5, curve='linear', floor=0.0, steps=100)
    """
    if given is None:
        return Constant()
    if isinstance(given, str):
        return squeezed(_hashable(parsed(given)), steps)
    if isinstance(given, type) and hasattr(given, "init"):  # a scheduler's class makes schedulers
        raise ProblemError(f"schedule is the class {given.__name__}; expected a policy made of it, e.g. {given.__name__}()")
    if isinstance(given, Policy):
        own = getattr(_hashable(given), "steps", None)
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
    names = ", ".join((*SCHEDULES, *third_party.offered()))
    raise ProblemError(
        f"schedule is a {type(given).__name__}; expected one of {names}, a Policy, or a function (optimizer) -> LRScheduler"
    )


def _hashable(policy: Policy) -> Policy:
    try:
        hash(policy)
    except TypeError:
        raise ProblemError(
            f"the policy {policy!r} has no hash; expected one that cannot change: @dataclass(frozen=True), with tuples for "
            "lists and dicts"
        ) from None
    return policy


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
    """etastar's own policy of this name, with its settings, or another distribution's."""
    name, colon, settings = text.partition(":")
    if name in SCHEDULES:
        third_party.say_of_another(name)
    elif name not in (theirs := third_party.offered()):
        known = ", ".join((*SCHEDULES, *theirs))
        raise ProblemError(f"schedule is {shown(text)}; expected one of {known}, a Policy, or (optimizer) -> LRScheduler")
    if colon and not settings.strip(" ,"):
        raise ProblemError(f"schedule is {shown(text)}; expected settings after the colon, e.g. wsd:decay=0.5")
    changes = _settings(text, settings)
    return configured(name, changes) if name in SCHEDULES else third_party.offered_policy(name, changes)


def _settings(text: str, settings: str) -> dict[str, Any]:
    """What `key=value,...` says."""
    found: dict[str, Any] = {}
    for part in filter(None, settings.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ProblemError(f"schedule is {shown(text)}; expected settings NAME=VALUE, e.g. wsd:decay=0.5,floor=0.1")
        if key in found:
            raise ProblemError(f"schedule is {shown(text)}, which gives {key} twice; expected each once")
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found
