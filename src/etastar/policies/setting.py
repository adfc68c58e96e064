"""Settings of policies: a field says beside its default what it may be, and is held against that when a policy is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any


def setting(default: Any, kind: Callable[[str, Any], Any]) -> Any:
    """A field of a dataclass on `Checked`.

    Args:
        kind: called with (name, value); raises `ProblemError` where the value will not do: those of `etastar.arguments`.
    """
    return field(default=default, metadata={"kind": kind})


class Checked:
    """A dataclass whose settings are checked.

    Raises:
        ProblemError: a setting is not of its kind.

    >>> from dataclasses import dataclass
    >>> from etastar.arguments import SHARE
    >>> @dataclass(frozen=True)
    ... class SlowStart(Checked):
    ...     low: float = setting(0.1, SHARE)
    >>> SlowStart(low=2)
    Traceback (most recent call last):
    etastar.errors.ProblemError: slow-start: low is 2; expected a share in [0, 1]
    """

    def __post_init__(self) -> None:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()
        for own in fields(self):  # type: ignore[arg-type]
            if "kind" in own.metadata:
                own.metadata["kind"](f"{name}: {own.name}", getattr(self, own.name))
