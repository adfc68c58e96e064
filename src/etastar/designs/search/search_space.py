"""A search space: hyper-parameters with their ranges or choices, from a TOML file or a dictionary, checked."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etastar.arguments import BEYOND_FLOATS, shown
from etastar.errors import ProblemError

ENDLESS = (math.inf, -math.inf)
KEYS = ("low", "high", "log", "choices")
EXAMPLE = "[lr] with low = 1e-4 and high = 1.0"
Scalar = bool | int | float | str


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter: numbers from `low` to `high` (both included), or one of `choices`.

    Args:
        log: whether the numbers are drawn evenly in their logarithm.
        integer: whether they are whole.
    """

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Scalar, ...] | None = None

    def contains(self, value: Any) -> bool:
        """Whether `value` may be tried."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def ends(self) -> tuple[Scalar, ...]:
        """All choices, or both ends of the range: what is tried out before anything is trained."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None and self.high is not None
        return (int(self.low), int(self.high)) if self.integer else (self.low, self.high)

    def grid(self, points: int) -> list[Scalar]:
        """At most `points` values, evenly spaced (in the logarithm if `log`), both ends included; choices all.

        >>> Parameter("lr", 0.01, 1.0, log=True).grid(3)
        [0.01, 0.1, 1.0]
        """
        if self.choices is not None:
            return list(self.choices)
        assert self.low is not None and self.high is not None
        to, back = (math.log, math.exp) if self.log else (float, float)
        a, b = to(self.low), to(self.high)
        inner = [float(f"{back(a + (b - a) * i / (points - 1)):.12g}") for i in range(1, points - 1)]
        values = [self.low, *inner, self.high] if points > 1 else [back((a + b) / 2)]
        return list(dict.fromkeys(round(v) for v in values)) if self.integer else [float(v) for v in values]


@dataclass(frozen=True)
class Space:
    """Hyper-parameters, each named once.

    >>> space = Space.of({"lr": {"low": 1e-4, "high": 1.0}, "schedule": {"choices": ["constant", "wsd"]}})
    >>> space["lr"].log, space["schedule"].choices
    (True, ('constant', 'wsd'))
    """

    parameters: tuple[Parameter, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Space:
        """The space of a TOML file: one table per hyper-parameter.

        Raises:
            ProblemError: the file is not there, not TOML, or its space cannot be searched.
        """
        file = Path(path)
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ProblemError(
                f"the space {file} cannot be read ({error.strerror}); expected a TOML file, e.g. {EXAMPLE}"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ProblemError(f"the space {file} is not TOML ({error}); expected e.g. {EXAMPLE}") from error
        return cls.of(tables, str(file))

    @classmethod
    def of(cls, tables: Mapping[str, Any], source: str = "given") -> Space:
        """The space of a dictionary: name -> {"low", "high"[, "log"]} or {"choices"}.

        Raises:
            ProblemError: it is empty, reversed, not positive where it is logarithmic, or not understood.
        """
        if not isinstance(tables, Mapping):
            raise ProblemError(f"the space is a {type(tables).__name__}; expected a file or name -> {{'low', 'high'}}")
        if not tables:
            raise ProblemError(f"the space {source} is empty; expected at least one hyper-parameter, e.g. {EXAMPLE}")
        return cls(tuple(_parameter(str(name), table) for name, table in tables.items()))

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __contains__(self, name: str) -> bool:
        return any(p.name == name for p in self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        return next(p for p in self.parameters if p.name == name)

    def but(self, parameter: Parameter) -> Space:
        """The same space with `parameter` instead of the one of its name, or in front if it has none."""
        if parameter.name not in self:
            return Space((parameter, *self.parameters))
        return Space(tuple(parameter if p.name == parameter.name else p for p in self.parameters))

    def widened(self, *, up: bool, decades: float) -> Space:
        """The range of the rate made longer on one side."""
        lr = self["lr"]
        assert lr.low is not None and lr.high is not None
        return self.but(replace(lr, high=lr.high * 10**decades) if up else replace(lr, low=lr.low / 10**decades))


def _parameter(name: str, table: Any) -> Parameter:
    if not isinstance(table, Mapping):
        raise ProblemError(f"the space has {name} = {shown(table)}; expected a table [{name}] with low and high, or choices")
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        raise ProblemError(f"[{name}] of the space has {shown(unknown[0])}; expected {', '.join(KEYS)}")
    if "choices" in table:
        if len(table) > 1:
            raise ProblemError(f"[{name}] of the space has choices and a range; expected one of them: drop the other")
        return Parameter(name, choices=_choices(name, table["choices"]))
    return _range(name, table)


def _choices(name: str, choices: Any) -> tuple[Scalar, ...]:
    if not isinstance(choices, (list, tuple)) or not choices:
        raise ProblemError(f"[{name}] of the space has choices = {shown(choices)}; expected a list of at least one value")
    wrong = [c for c in choices if not isinstance(c, (bool, int, float, str))]
    if wrong:
        raise ProblemError(f"[{name}] of the space has the choice {shown(wrong[0])}; expected numbers, words, true or false")
    if len(set(map(repr, choices))) < len(choices):
        raise ProblemError(f"[{name}] of the space has a choice twice in {shown(choices)}; expected each once")
    if name == "lr":
        for choice in choices:
            _check_number("lr", "choice", choice)
            _check_positive("lr", "choice", choice, "name a positive rate")
    return tuple(choices)


def _range(name: str, table: Mapping[str, Any]) -> Parameter:
    for end in ("low", "high"):
        if end not in table:
            raise ProblemError(f"[{name}] of the space has no {end}; expected low and high, or choices")
        _check_number(name, end, table[end])
    low, high, log = table["low"], table["high"], table.get("log", name == "lr")
    if not isinstance(log, bool):
        raise ProblemError(f"[{name}] of the space has log = {shown(log)}; expected true or false")
    if log or name == "lr":
        advice = "raise it" if name == "lr" else "raise it, or say log = false"
        _check_positive(name, "low", low, advice)
    if not low < high:
        order = "reversed" if high < low else "a single value"
        raise ProblemError(
            f"[{name}] of the space is {order}: low = {low:g}, high = {high:g}; expected low < high "
            f"(choices = [{low:g}] fixes it)"
        )
    integer = name != "lr" and isinstance(low, int) and isinstance(high, int)
    return Parameter(name, low if integer else float(low), high if integer else float(high), log, integer)


def _check_number(name: str, end: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < BEYOND_FLOATS or value in ENDLESS:
        raise ProblemError(f"[{name}] of the space has {end} = {shown(value)}; expected a finite number")


def _check_positive(name: str, end: str, value: float, advice: str) -> None:
    if not value > 0:
        raise ProblemError(f"[{name}] of the space has {end} = {value:g}; expected more than 0: {advice}")
