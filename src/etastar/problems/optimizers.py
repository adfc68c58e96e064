"""Optimizers by name, for the command line and the ready-made problems: `adamw:lr=3e-4,weight_decay=0.1`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from etastar.errors import ProblemError

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
    name, _, rest = spec.partition(":")
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
        raise ProblemError(f"optimizer is {name!r}; expected one of {', '.join(known)}")
    return NamedOptimizer(cls, tuple({**settings, **parse_settings(rest, "optimizer", f"{name}:lr=0.01")}.items()))


def parse_settings(text: str, option: str, example: str = "depth=8,width=256") -> dict[str, Any]:
    """`a=1,b=0.5,c=word` as a dictionary; values are Python literals where they can be, else strings.

    >>> parse_settings("depth=8,rate=1e-3,kind=wide", "set")
    {'depth': 8, 'rate': 0.001, 'kind': 'wide'}
    """
    settings: dict[str, Any] = {}
    for part in _split_outside_brackets(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise ProblemError(f"--{option} got {part!r}; expected name=value pairs, e.g. --{option} {example}")
        try:
            settings[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            settings[key.strip()] = value.strip()
    return settings


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
