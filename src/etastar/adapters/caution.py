"""`Caution`: what a watched training warns of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caution:
    """A sign that the rate in use will diverge; prints as a sentence.

    Args:
        step: optimizer steps taken before.
        sign: what was read, and in what.
        value, bound: the reading, and what it should stay below; a value that is not finite has no bound.
        rate: the optimizer's largest rate at that step.
        factor: of all rates, which brings the reading back to what training is used to.

    >>> print(Caution(120, "rate x lambda1, as a share of the edge 2 / lambda,", 1.5, 1.0, 0.3, 0.5))
    step 120: this rate will diverge: rate x lambda1, as a share of the edge 2 / lambda, is 1.5, above 1; the rate is 0.3: \
multiply it by 0.5 (controller.rescale(0.5)), or go back as well (controller.rollback(0.5))
    """

    step: int
    sign: str
    value: float
    bound: float
    rate: float
    factor: float

    def __str__(self) -> str:
        f = f"{self.factor:.2g}"
        cure = f"multiply it by {f} (controller.rescale({f})), or go back as well (controller.rollback({f}))"
        above = f" is {self.value:.3g}, above {self.bound:.3g}" if self.value == self.value else " is not finite"
        return f"step {self.step:,}: this rate will diverge: {self.sign}{above}; the rate is {self.rate:.3g}: {cure}"
