"""Of `find`."""

from __future__ import annotations

from etastar.core.estimate import Estimate
from etastar.reports.parts import Table
from etastar.verbs.find.find_answer import UNMEASURED, FindAnswer


def find_tables(answer: FindAnswer) -> list[Table]:
    """The recommended rate with its plateau, eta*, the rate in use, and the rates of the groups."""
    if not (answer.lr.ok or answer.eta_star.ok):
        return []
    rows = []
    for name, estimate, what in _estimates(answer):
        if estimate.ok:
            rows.append((name, f"{estimate.value:.3g}", f"{estimate.low:.3g} .. {estimate.high:.3g}", what))
        else:
            rows.append((name, "-", "", f"{estimate.status.value}: {estimate.reason}"))
        if estimate is answer.lr and answer.best.plateau:
            low, high = answer.best.plateau
            rows.append(("plateau", f"{low:.3g} .. {high:.3g}", "", "expected within 0.05 nats or 1 % of the best loss"))
    if answer.yours:
        rows.append(("yours", answer.facts.said(answer.yours.lr), "", answer.yours.verdict))
    groups = answer.lr_per_group
    if len(groups) > 1:
        rows += [(f"  {n}", f"{lr:.3g}", "", "recommended for this group" if lr else "frozen") for n, lr in groups]
    return [Table("", ("", "rate", "90 % interval", "what it is"), tuple(rows))]


def _estimates(answer: FindAnswer) -> list[tuple[str, Estimate, str]]:
    band, steps = answer.band, answer.steps_to_start
    rows = [("recommended", answer.lr, answer.lr.method)]
    if answer.effort not in UNMEASURED:
        rows.append(("eta*", answer.eta_star, f"half of fresh seeds start to train within {steps} steps"))
    if band is not None and band.eta_star.ok:
        rows.append(("eta* 90 %", band.eta_star_90, "nine of ten do"))
    if answer.end is not None:
        rows.append(("eta* end", answer.eta_star_end, f"half of them still train at step {steps}"))
    return rows
