"""What the rows say: one estimate a claim, and what the page shows beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from etastar.core.estimate import Estimate
from etastar.studies.claim import Claim
from etastar.studies.psi.driven import ratio_of
from etastar.studies.record import Row
from etastar.studies.study import Findings

Quantity = Callable[[Sequence[Row]], Estimate]


def against(arm: str, reference: str) -> Quantity:
    """The ratio of final losses of two arms of the driven runs."""
    return lambda rows: ratio_of(driven_rows(rows), arm, reference).mean()


QUANTITIES: dict[str, Quantity] = {
    "a universal closed form": against("trapezoid", "linear"),
    "eps adds nothing to i": against("trapezoid of loss", "trapezoid"),
}
"""Claim -> what decides it."""


def driven_rows(rows: Sequence[Row]) -> list[Row]:
    """Of tasks that were driven at a known horizon."""
    return [row for row in rows if row["what"] == "driven" and row["losses"] is not None]


def findings(rows: Sequence[Row], claims: Sequence[Claim]) -> Findings:
    """One verdict a claim."""
    return Findings(tuple(claim.judge(QUANTITIES[claim.name](rows)) for claim in claims))
