"""`Estimate`: a number with an interval, a cost and a verdict, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from etastar.core.flags import checked_flags
from etastar.core.told import told
from etastar.errors import NoAnswer

Z90 = 1.645
"""Half of a 90 % interval in standard errors, where the scatter is normal."""


class Status(StrEnum):
    """Why an estimate has a value, or why it has none."""

    OK = "ok"
    FLAT = "flat"
    EDGE_OF_RANGE = "edge-of-range"
    DIVERGED_EVERYWHERE = "diverged-everywhere"
    SUCCEEDS_EVERYWHERE = "succeeds-everywhere"
    NEVER_SUCCEEDS = "never-succeeds"
    NO_PROGRESS = "no-progress"
    TOO_FEW_POINTS = "too-few-points"
    OUTSIDE_THE_LAW = "outside-the-law"
    NOT_MEASURED = "not-measured"
    PRIOR_ONLY = "prior-only"
    """The measurement says no more than is known of other tasks."""


@dataclass(frozen=True)
class Estimate:
    """A measured or predicted number.

    Args:
        value: the number, or None when there is no answer.
        low, high: interval that contains the true number with probability `level`. Either may be given without `value`
            as a one-sided bound ("at least `low`").
        level: the interval's probability; its coverage is tested.
        unit: what the number is, e.g. "learning rate" or "decades".
        n: number of lanes it rests on.
        method: how it was found.
        status: a `Status`; `ok` if and only if there is a value.
        reason: a sentence, required unless `ok`.
        cost: gradient steps spent on it.
        flags: keys of `FLAGS`.

    Raises:
        ValueError: `ok` without a finite value inside [low, high], or not `ok` without a reason, or an unknown flag.

    >>> Estimate(value=0.1, low=0.08, high=0.12).require()
    0.1
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.9
    unit: str = "learning rate"
    n: int = 0
    method: str = ""
    status: Status = Status.OK
    reason: str = ""
    cost: int = 0
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_flags(self.flags)
        if self.status is Status.OK:
            numbers = (self.low, self.value, self.high)
            if not all(x is not None and math.isfinite(x) for x in numbers):
                raise ValueError(f"an ok estimate needs finite low, value and high, got {numbers}")
            if not numbers[0] <= numbers[1] <= numbers[2]:  # type: ignore[operator]
                raise ValueError(f"an ok estimate needs low <= value <= high, got {numbers}")
        elif self.value is not None or not self.reason:
            raise ValueError(f"an estimate with status {self.status.value!r} carries a reason and no value")

    @classmethod
    def none(cls, status: Status, reason: str, **fields: Any) -> Estimate:
        """An estimate without a value: `status` and the sentence that explains it."""
        return cls(status=status, reason=reason, **fields)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.status is Status.OK

    def require(self) -> float:
        """The value; raises `NoAnswer`, which carries this estimate, when there is none."""
        if self.value is None:
            raise NoAnswer(self)
        return self.value

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; status and flags are strings."""
        return told(self)


def log_error(low: float | None, high: float | None) -> float:
    """Standard error of log10 of a rate, from the ends of its 90 % interval: log10(high / low) / (2 x 1.645).

    Zero where an end is missing or not positive: nothing is known of it then.

    >>> round(log_error(1.0, 10**0.329), 12), log_error(0.0, 1.0)
    (0.1, 0.0)
    """
    return math.log10(high / low) / (2 * Z90) if low and high and low > 0 else 0.0
