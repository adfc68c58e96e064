"""`Law`: fitted on records of trainings, it predicts an `Estimate`, or refuses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from etastar.core.estimate import Estimate
from etastar.core.lane import LaneStatus


@dataclass(frozen=True)
class Record:
    """One training, as a law sees it.

    Args:
        lr: peak learning rate.
        schedule: its name.
        horizon: optimizer steps planned, over which the schedule spans.
        seed: the same seed at two rates is the same initial weights and data order.
        loss: at the end; infinite if it diverged.
        metric: accuracy at the end, where there is one.
        time: optimizer steps after which the target loss was reached; None if it never was.
        status: how it ended.
    """

    lr: float
    schedule: str
    horizon: int
    seed: int
    loss: float
    metric: float | None = None
    time: int | None = None
    status: LaneStatus = LaneStatus.TRAINED

    @property
    def log_lr(self) -> float:
        """log10 of the rate."""
        return math.log10(self.lr)


@runtime_checkable
class Law(Protocol):
    """What is known of trainings that were not run.

    A law is fitted to records of single trainings, or to columns of sizes and what was measured at them. It says how sure it
    is, and its intervals are tested. Outside its data it gives no number: `Status.OUTSIDE_THE_LAW` with the sentence that
    says where its data end, or `Status.TOO_FEW_POINTS`.
    """

    @classmethod
    def fit(cls, *data: Any, **settings: Any) -> Self:
        """The law of these records, or of these sizes and values."""
        ...

    def predict(self, *args: Any, **conditions: Any) -> Estimate:
        """What it expects under these conditions."""
        ...


def median(values: Iterable[float]) -> float:
    """The middle value, or the mean of the two middle ones; infinite values are the largest.

    >>> median([3.0, 1.0, math.inf]), median([1.0, math.inf])
    (3.0, inf)
    """
    ordered = sorted(values)
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (below + above) / 2
