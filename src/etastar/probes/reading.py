"""`Probe` and `Reading`: a probe reads a `Point` and returns one named number, or the reason why there is none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from etastar.core.estimate import Estimate, Status
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import isolated_randomness
from etastar.errors import DoesNotApply
from etastar.probes.point import Point


@dataclass(frozen=True)
class Reading:
    """What one probe read.

    Args:
        name: of the quantity.
        estimate: the number; low and high are its error bound (level 0.99) or its interval; n is the number of samples.
        rate: the learning rate it points to, where it points to one.
        says: what it says about the learning rate, in a sentence.
        loss: the loss it is of; a curvature means nothing without it.
        meaning: what the quantity is.
        caveat: what it is not.
        parts: further numbers of the same probe, by name.
    """

    name: str
    estimate: Estimate
    meaning: str
    caveat: str
    loss: str = ""
    says: str = ""
    rate: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.estimate.ok

    @property
    def value(self) -> float | None:
        """The number, or None."""
        return self.estimate.value


class Probe(ABC):
    """Reads one quantity at a `Point`: a frozen dataclass whose fields are its options; call it with the point.

    A probe that does not apply returns a reading without a value and with the reason; it raises only for input that could
    not be trained on either.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    meaning: ClassVar[str]
    caveat: ClassVar[str]

    def __call__(self, point: Point) -> Reading:
        """The reading at `point`, which is bit-identical afterwards, as is the random state."""
        with isolated_randomness(), steady_numerics(), torch.enable_grad():
            try:
                if point.refusal:
                    raise DoesNotApply(point.refusal)
                reading = self.read(point)
            except DoesNotApply as refusal:
                reading = self.refuse(str(refusal), n=point.samples)
            return replace(reading, loss=point.loss_name)

    @abstractmethod
    def read(self, point: Point) -> Reading:
        """The reading; raises `DoesNotApply` where the probe does not apply."""

    def refuse(self, reason: str, status: Status = Status.NOT_MEASURED, **fields: Any) -> Reading:
        """A reading without a value."""
        return self._reading(Estimate.none(status, reason, unit=self.unit, **fields))

    def found(
        self,
        value: float,
        low: float,
        high: float,
        *,
        n: int,
        method: str,
        level: float = 0.99,
        cost: int = 0,
        **fields: Any,
    ) -> Reading:
        """A reading with a value inside [low, high]."""
        estimate = Estimate(value, min(low, value), max(high, value), level, self.unit, n, method, cost=cost)
        return self._reading(estimate, **fields)

    def _reading(self, estimate: Estimate, **fields: Any) -> Reading:
        return Reading(self.name, estimate, self.meaning, self.caveat, **fields)
