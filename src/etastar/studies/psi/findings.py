"""What the rows say: one estimate a claim, and the numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from etastar.core.estimate import Estimate
from etastar.laws.psi.driven import Ratio
from etastar.laws.psi.literal import confounded, correlation
from etastar.studies.claim import Claim
from etastar.studies.fits import mean_and_interval
from etastar.studies.psi.arms import ARMS, LINEAR, at_peak
from etastar.studies.psi.drawn import charts_of
from etastar.studies.psi.driven import losses_of, ratio_of
from etastar.studies.psi.recorded import Experiments
from etastar.studies.psi.tables import SECTIONS, tables_of
from etastar.studies.psi.unknown_horizon import KNOWN, as_driven, pooled
from etastar.studies.record import Row
from etastar.studies.study import Findings

FROM_LOGS = tuple(arm.name for arm in ARMS if arm.name.startswith("logs"))


@dataclass(frozen=True)
class PsiRows:
    """The rows of the study, by what they are of.

    Args:
        known: the experiments.
        driven: fresh runs at a known horizon; unknown: at one that no policy was told, one entry an arm.
        candidates: the same with every candidate.
    """

    known: Experiments
    driven: list[Row]
    unknown: list[Row]
    candidates: list[Row]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> PsiRows:
        """Those that were measured."""
        of = lambda what: [row for row in rows if row["what"] == what and row["losses"] is not None]
        candidates = of("unknown horizon")
        return cls(Experiments.of(rows), of("driven"), as_driven(candidates), candidates)


Quantity = Callable[[PsiRows], Estimate]


def against(arm: str, reference: str = LINEAR) -> Quantity:
    """The ratio of final losses of two arms of the driven runs."""
    return lambda m: ratio_of(m.driven, arm, reference).mean()


def all_against(arms: Sequence[str], reference: str = LINEAR) -> Quantity:
    """The same of several arms alike."""

    def quantity(m: PsiRows) -> Estimate:
        return Ratio.of(
            {
                f"{row['task']}/{row['optimizer']}": (
                    row["family"],
                    row["group"],
                    [loss for arm in arms for loss in losses_of(row, arm)],
                    list(losses_of(row, reference)) * len(arms),
                )
                for row in m.driven
            }
        ).mean()

    return quantity


QUANTITIES: dict[str, Quantity] = {
    "a universal closed form": against("trapezoid"),
    "eps adds nothing to i": against("trapezoid of loss", "trapezoid"),
    "eps alone loses": against("loss alone"),
    "logs alone mislead": all_against(FROM_LOGS),
    "greedy critics lose": against("forks, greedy"),
    "evolution repairs wrong peaks": against(at_peak("network", 2), at_peak("linear", 2)),
    "the mean is as good as the conditional": against("own and others", "trapezoid"),
    "the peak must be conditional": against("others' peak"),
    "without a horizon the loss helps": lambda m: pooled(m.unknown, "Psi(eps, i)", "Psi(i)").mean(),
}
"""Claim -> what decides it."""


def findings(rows: Sequence[Row], claims: Sequence[Claim]) -> Findings:
    """One verdict a claim, numbers, tables and charts."""
    m = PsiRows.of(rows)
    return Findings(
        tuple(claim.judge(QUANTITIES[claim.name](m)) for claim in claims),
        numbers=_numbers(m),
        tables=tables_of(m.known, m.driven, m.unknown),
        sections=SECTIONS,
        charts=charts_of(m.known, m.driven, m.unknown),
    )


def _numbers(m: PsiRows) -> tuple[tuple[str, Estimate, str], ...]:
    by_task = [Experiments((row,)) for row in m.known.rows]
    rate_and_time = [confounded(own.logged) for own in by_task]
    soon_and_end = [r for own in by_task if math.isfinite(r := soon_against_end(own))]
    longer = {n: [row for row in m.candidates if row["steps"] == n] for n in sorted({r["steps"] for r in m.candidates})}
    return (
        (
            "rate and time in the logs",
            mean_and_interval(rate_and_time, "correlation"),
            "correlation of ln(rate) and i/N over a task's logged rows, mean over tasks: what confounds them",
        ),
        (
            "a tenth and the end",
            mean_and_interval(soon_and_end, "correlation"),
            "correlation, over the rates tried from one state, of the fall over the next tenth and the gain at the end, "
            "mean over tasks: what a short horizon knows",
        ),
        (
            "unknown horizon: averaging for a decay",
            pooled(m.unknown, "constant, averaged", "Psi(i)").mean(),
            "final loss at a constant rate with averaged weights / under Psi(i)",
        ),
        (
            "unknown horizon: its price",
            pooled(m.unknown, "Psi(i)", "trapezoid, N known").mean(),
            "final loss under Psi(i) / under the trapezoid, which is told the horizon",
        ),
        *(
            (
                f"the closed form over {n:,} steps",
                ratio_of(own, "trapezoid, N known x 1", f"{KNOWN} x 1").mean(),
                "as it is shipped / linear decay, both at the peak tuned over the shortest horizon",
            )
            for n, own in longer.items()
        ),
        *((f"missed by {arm}", _missed(m, arm), MISSED) for arm in (*FROM_LOGS, "forks, greedy", "forks, critic")),
    )


MISSED = "share of the variance of what followed, on the group left out, that the prediction misses; mean over tasks"


def _missed(m: PsiRows, arm: str) -> Estimate:
    return mean_and_interval([row["missed"][arm] for row in m.driven], "share")


def soon_against_end(own: Experiments) -> float:
    """The correlation of both columns of the forks, each less its state's mean."""
    states: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row in own.rows:
        for path, s, _, _, soon, final in row["forks"]:
            states.setdefault((path, s), []).append((soon, final))
    centred = [
        (soon - sum(x for x, _ in pairs) / len(pairs), final - sum(y for _, y in pairs) / len(pairs))
        for pairs in states.values()
        for soon, final in pairs
    ]
    return correlation(*zip(*centred, strict=True)) if centred else math.nan
