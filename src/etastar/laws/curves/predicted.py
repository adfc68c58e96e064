"""`Predicted`: a loss curve that a law expects, or where it is silent and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar.core.estimate import Estimate
from etastar.laws.curves.curve import Array


@dataclass(frozen=True)
class Predicted(Sequence[Estimate]):
    """A predicted loss curve: an `Estimate` at each step, some of which may refuse.

    Args:
        steps: [N] updates made.
        estimates: one each.
    """

    steps: NDArray[np.int64]
    estimates: tuple[Estimate, ...]

    def __getitem__(self, index):  # type: ignore[override]
        return self.estimates[index]

    def __len__(self) -> int:
        return len(self.estimates)

    @property
    def end(self) -> Estimate:
        """The last loss."""
        return self.estimates[-1]

    def column(self, name: str) -> Array:
        """`value`, `low` or `high` at each step; NaN where there is none."""
        return np.array([np.nan if (x := getattr(e, name)) is None else x for e in self.estimates])
