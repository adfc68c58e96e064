"""Policies that other distributions offer by name: their entry points in the group `etastar.policies`.

    [project.entry-points."etastar.policies"]
    halving = "my_package:Halving"

What the entry point names is a class or a function; called with the settings of `halving:at=0.5` it gives a policy.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from etastar.arguments import shown
from etastar.errors import ProblemError, in_one_line
from etastar.policies.policy import Policy

GROUP = "etastar.policies"
KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def offered() -> list[str]:
    """The names that other distributions offer."""
    return sorted(entry_points(group=GROUP).names)


def offered_policy(name: str, settings: Mapping[str, Any]) -> Policy:
    """The policy that a distribution offers as `name`, with these settings.

    Raises:
        ProblemError: two distributions offer it, it cannot be loaded or made, or what is made is no policy.
    """
    entry, *others = entry_points(group=GROUP, name=name)
    if others:
        both = " and ".join(map(_origin, (entry, *others)))
        raise ProblemError(f"the schedule {name!r} is offered by {both}; expected one of them: uninstall the others")
    title = f"the schedule {name!r} of {_origin(entry)}"
    make = _tried(f"{title} cannot be loaded", entry.load)
    if not callable(make):
        raise ProblemError(f"{title} is {shown(make)}; expected a class or a function that makes a policy")
    _check_settings(title, make, settings)
    policy = _tried(f"{title} cannot be made", lambda: make(**settings))
    if isinstance(policy, type) or not isinstance(policy, Policy):
        raise ProblemError(f"{title} is {shown(policy)}; expected a policy: reads, init(lr), step(seen, state)")
    return policy


def say_of_another(name: str) -> None:
    """Warn where a distribution offers a policy under `name`, which is etastar's own."""
    if theirs := entry_points(group=GROUP, name=name):
        origins = " and ".join(map(_origin, theirs))
        warnings.warn(f"the schedule {name!r} is etastar's own, not the one of {origins}", UserWarning, stacklevel=2)


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _tried(failed: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ProblemError:
        raise
    except Exception as error:
        raise ProblemError(f"{failed}: {in_one_line(error)}") from error


def _check_settings(title: str, make: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Raise `ProblemError` if `make` does not take these settings, or needs others."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # written in C: it says itself what it takes
        return
    known = [p.name for p in parameters if p.kind in KEYWORDS]
    needed = [p.name for p in parameters if p.kind in KEYWORDS and p.default is p.empty]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unknown = [] if open_ended else [key for key in settings if key not in known]
    missing = [key for key in needed if key not in settings]
    if unknown:
        takes = f"settings of {', '.join(known)}" if known else "none"
        raise ProblemError(f"{title} has no setting {shown(unknown[0])}; expected {takes}")
    if missing:
        raise ProblemError(f"{title} needs {', '.join(missing)}; expected settings of {', '.join(known)}")
