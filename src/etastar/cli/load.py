"""From what the user typed to a `Problem`: a built-in name, or `path/to/file.py:name` of a problem or a Trainer."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import torch

from etastar.arguments import MOST_STEPS, shown
from etastar.cli.spec import named
from etastar.core.problem import Problem
from etastar.errors import ProblemError, UserCodeRaised, as_problem, call
from etastar.policies.named import policy_over
from etastar.problems import builder
from etastar.problems.optimizers import optimizer_factory, parse_settings


def load_problem(spec: str, **given: Any) -> Problem:
    """The problem `spec` names, with the command line's changes; `given` and what is raised as for `load_maker`."""
    return load_maker(spec, **given)[0]


def load_maker(
    spec: str,
    *,
    settings: str = "",
    steps: int | None = None,
    schedule: str | None = None,
    optimizer: str | None = None,
    threshold: float | None = None,
) -> tuple[Problem, Callable[..., Problem] | None]:
    """(the problem `spec` names, with the command line's changes; what makes it with other arguments of its function).

    The second is None where `spec` names a Problem; else it has the signature of the function.

    Raises:
        ProblemError: one sentence: what was got, what is expected, what to do.
    """
    arguments = parse_settings(settings, "set")
    shown, value = _find(spec)
    value = _of_a_trainer(value, steps)
    problem = _call(shown, value, arguments, steps)
    changes = _changes(shown, problem, steps, schedule, optimizer, threshold)
    if isinstance(value, Problem):
        return problem.but(**changes), None

    @functools.wraps(value)
    def make(**others: Any) -> Problem:
        return _call(shown, value, arguments | others, steps).but(**changes)

    return problem.but(**changes), make


def load_family(
    spec: str,
    *,
    settings: str = "",
    steps: int | None = None,
    schedule: str | None = None,
    optimizer: str | None = None,
    threshold: float | None = None,
) -> tuple[str, Callable[..., Problem]]:
    """(name, what makes the members) of the function `spec` names; its sizes need no defaults.

    Raises:
        ProblemError: it is no function, or cannot be found.
    """
    arguments = parse_settings(settings, "set")
    shown, value = _find(spec)
    if isinstance(value, Problem) or not callable(value):
        raise ProblemError(f"{shown} is one {type(value).__name__}; expected a function of its sizes, e.g. depth and width")
    if schedule is not None:  # before a member is built: it may turn out that none will be
        policy_over(schedule, steps or MOST_STEPS)
    if optimizer is not None:
        optimizer_factory(optimizer)
    _check_arguments(shown, value, arguments, some=True)

    @functools.wraps(value)
    def make(**sizes: Any) -> Problem:
        if both := sorted(arguments.keys() & sizes.keys()):
            raise ProblemError(f"{', '.join(both)} is both scaled and set with --set; drop one of the two")
        problem = _call(shown, value, arguments | sizes, steps)
        return problem.but(**_changes(shown, problem, steps, schedule, optimizer, threshold))

    return shown, make


def _changes(
    shown: str,
    problem: Problem,
    steps: int | None,
    schedule: str | None,
    optimizer: str | None,
    threshold: float | None,
) -> dict[str, Any]:
    """What the command line changes in a problem."""
    changes: dict[str, Any] = {"label": problem.label or problem.name or shown}
    if steps is not None:
        changes["steps"] = steps
    if schedule is not None:
        changes["schedule"] = schedule
    if optimizer is not None:
        if problem.is_loop:
            raise ProblemError("--optimizer cannot change a problem made with from_loop; change the loop itself")
        changes["optimizer"] = optimizer_factory(optimizer)
    if threshold is not None:
        changes |= {"accuracy_threshold": threshold, "loss_threshold": None}
    return changes


def _find(spec: str) -> tuple[str, Any]:
    """(name to show, the Problem or the function that returns one)."""
    if (place := named(spec)) is None:
        return spec, builder(spec)
    path, name = place
    module = _import(path)
    if not hasattr(module, name):
        problems = [n for n, v in vars(module).items() if isinstance(v, Problem)]
        public = problems or [n for n, v in vars(module).items() if _makes_problem(v, module)]
        hint = f"; it has {', '.join(public)}" if public else ""
        raise ProblemError(f"{path} has no {shown(name)}{hint}: name a Problem or a function that returns one")
    return spec, getattr(module, name)


def _makes_problem(value: Any, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def _import(path: Path) -> ModuleType:
    """Import a user's file as a script would find it: its own folder first on the path."""
    resolved = path.resolve()
    name = f"etastar_user_{resolved.stem}_{hashlib.blake2b(str(resolved).encode(), digest_size=4).hexdigest()}"
    folder = str(resolved.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        raise ProblemError(f"{path} has a syntax error{where} ({error.msg.rstrip('.?')}); fix it first") from error
    except SystemExit as error:
        raise ProblemError(f"{path} called sys.exit while imported; put it under if __name__ == '__main__'") from error
    except BaseException as error:
        problem = as_problem(error, f"importing {path}")
        if problem is None:
            raise
        raise UserCodeRaised(f"{path} cannot be imported: {problem}") from error
    cloudpickle.register_pickle_by_value(module)  # worker processes cannot import it by name
    return module


def _of_a_trainer(value: Any, steps: int | None) -> Any:
    """What a Trainer of Transformers would train, as a problem; anything else as it is."""
    from etastar.adapters.transformers.from_trainer import is_trainer, problem_from  # brings the engines

    return problem_from(value, steps=steps) if is_trainer(value) else value


def _call(shown: str, value: Any, arguments: dict[str, Any], steps: int | None) -> Problem:
    if isinstance(value, Problem):
        if arguments:
            raise ProblemError(f"--set {', '.join(arguments)} has nothing to set: {shown} is a Problem, not a function")
        problem = value
    elif inspect.isclass(value) or isinstance(value, torch.nn.Module) or not callable(value):
        kind = "class" if inspect.isclass(value) else type(value).__name__
        raise ProblemError(
            f"{shown} is of type {kind}; expected an etastar.Problem, a transformers.Trainer, or a function that returns one"
        )
    else:
        _check_arguments(shown, value, arguments)
        problem = call(shown, functools.partial(value, **arguments))
        if inspect.iscoroutine(problem):
            problem.close()  # else Python complains that nobody waits for it
        problem = _of_a_trainer(problem, steps)
        if not isinstance(problem, Problem):
            raise ProblemError(f"{shown} returned {_a(problem)}; expected an etastar.Problem: return one")
    return problem


def _a(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _check_arguments(shown: str, function: Any, arguments: dict[str, Any], *, some: bool = False) -> None:
    """Refuse arguments that the function does not take, and, unless they are only `some`, those that are missing."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        (signature.bind_partial if some else signature.bind)(**arguments)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "no arguments"
        raise ProblemError(f"{shown}: {error}; it takes {takes}: pass them with --set name=value,...") from error
