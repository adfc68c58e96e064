"""`told`: a result as JSON holds it, from its fields; one rule for everything that is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple


class Range(NamedTuple):
    """From `low` to `high`."""

    low: float
    high: float


def told(value: Any) -> Any:
    """`value` in dictionaries, lists, text, numbers, truth values and None.

        a dataclass, a NamedTuple  ->  {name: ...} of its parts (`parts_told`)
        a mapping                  ->  {key: ...}
        a tuple, a list            ->  [...]
        an enum, a path            ->  its text
        a number that is not finite ->  None, since JSON has neither NaN nor infinity

    Raises:
        TypeError: something else.

    >>> told({"plateau": Range(0.01, math.inf), "widths": (64, 10)})
    {'plateau': {'low': 0.01, 'high': None}, 'widths': [64, 10]}
    """
    if isinstance(value, Enum):
        return told(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): told(part) for key, part in value.items()}
    if (names := parts_told(type(value))) is not None:
        return {key: told(attrgetter(path)(value)) for key, path in names.items()}
    if isinstance(value, (tuple, list)):
        return [told(part) for part in value]
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def parts_told(cls: type) -> dict[str, str] | None:
    """{key: path of the attribute} of what a class tells; None for a class that has no parts.

    These are its fields, or what its `TOLD` lists: fields and properties, also of a part ("trial.lr" is told as "lr").

    >>> parts_told(Range)
    {'low': 'low', 'high': 'high'}
    """
    listed = getattr(cls, "TOLD", None)
    if listed is None:
        if issubclass(cls, tuple):
            listed = getattr(cls, "_fields", None)
        elif is_dataclass(cls):
            listed = [field.name for field in fields(cls)]
    return None if listed is None else {path.rpartition(".")[2]: path for path in listed}
