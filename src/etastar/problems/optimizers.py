"""Optimizers by name, for the command line and the ready-made problems: `adamw:lr=3e-4,weight_decay=0.1`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar import arguments
from etastar.errors import ProblemError, in_one_line

NICKNAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
}


@dataclass(frozen=True)
class NamedOptimizer:
    """An optimizer of `torch.optim` over all of a model's parameters; a factory for `Problem`."""

    name: str
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer for `model`."""
        return getattr(torch.optim, self.name)(model.parameters(), **dict(self.settings))


def optimizer_factory(spec: str) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """The factory for `NAME[:key=value,...]`; NAME is sgd, momentum, nesterov or any class of torch.optim, in any case.

    Raises:
        ProblemError: no such optimizer, or settings that are not key=value.

    >>> optimizer_factory("adam:lr=0.01")(nn.Linear(2, 1)).defaults["lr"]
    0.01
    """
    name, colon, rest = arguments.name("optimizer", spec, "adamw:lr=3e-4").partition(":")
    if colon and not rest.strip():
        raise ProblemError(f"optimizer is {arguments.shown(spec)}; expected settings after the colon, e.g. {name}:lr=0.01")
    classes = {
        key.lower(): key
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer
    }
    if name.lower() in NICKNAMES:
        cls, settings = NICKNAMES[name.lower()]
    elif name.lower() in classes:
        cls, settings = classes[name.lower()], {}
    else:
        known = sorted({*NICKNAMES, *classes})
        raise ProblemError(f"optimizer is {arguments.shown(name)}; expected one of {', '.join(known)}")
    given = parse_settings(rest, "optimizer", f"{name}:lr=0.01")
    _check_settings(cls, name, given)
    factory = NamedOptimizer(cls, tuple({**settings, **given}.items()))
    _try(factory, spec)
    return factory


def _check_settings(cls: str, name: str, given: dict[str, Any]) -> None:
    """Every setting is one of the optimizer's, and of the kind of its default: a number, a pair of them, true or false."""
    parameters = inspect.signature(getattr(torch.optim, cls)).parameters
    known = {key: p.default for key, p in parameters.items() if key != "params"}
    for key, value in given.items():
        if key not in known:
            raise ProblemError(f"optimizer {name} has no setting {key!r}; it has {', '.join(known)}")
        _check_kind(f"optimizer {name}: {key}", value, known[key])


def _check_kind(what: str, value: Any, default: Any) -> None:
    if isinstance(default, bool):
        arguments.yes_or_no(what, value)
    elif isinstance(default, (int, float)):
        (arguments.MOMENTUM if what.endswith(": momentum") else arguments.FINITE)(what, value)
    elif isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise ProblemError(f"{what} is {arguments.shown(value)}; expected {len(default)} numbers, e.g. {default}")
        for part in value:
            arguments.FINITE(f"a part of {what}", part)


def _try(factory: NamedOptimizer, spec: str) -> None:
    """What the optimizer itself refuses is refused before anything is trained; a matrix suits every one of them."""
    try:
        factory(nn.Linear(1, 1, bias=False))
    except Exception as error:
        raise ProblemError(f"--optimizer {spec}: torch says {in_one_line(error)}; change that setting") from error


def parse_settings(text: str, option: str, example: str = "depth=8,width=256") -> dict[str, Any]:
    """`a=1,b=0.5,c=word` as a dictionary; values are Python literals where they can be, else strings.

    >>> parse_settings("depth=8,rate=1e-3,kind=wide", "set")
    {'depth': 8, 'rate': 0.001, 'kind': 'wide'}
    """
    settings: dict[str, Any] = {}
    for part in _split_outside_brackets(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ProblemError(
                f"--{option} got {arguments.shown(part)}; expected name=value pairs, e.g. --{option} {example}"
            )
        if key.strip() in settings:
            raise ProblemError(f"--{option} gives {key.strip()} twice in {arguments.shown(text)}; expected each once")
        settings[key.strip()] = _value(value.strip())
    return settings


def _value(text: str) -> Any:
    """A Python literal where it is one, also nan and inf; else the text itself."""
    try:
        return float(text) if text.lower().lstrip("+-") in ("nan", "inf", "infinity") else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [p for p in [*parts, current] if p.strip()]
