"""What an effort's rate loses, what its interval holds, whom it harms."""

from __future__ import annotations

import math

from benchmarks.basins.tasks import DEFAULTS, Cell
from benchmarks.basins.truth import NATS, SHARE, Row, Truth, filled
from etastar.designs.best_rate.best_rate import BestRate

HARM = 0.01
"""Nats worse than the default rate that count; and `NATS` that count as harm."""
CEILING = "noise ceiling"
"""What an ideal searcher with one seed reaches: the rate it chooses is the best on its seed, not on all."""


def cell_of(name: str) -> Cell:
    """The cell called task/optimizer/schedule/steps."""
    task, optimizer, schedule, steps = name.split("/")
    return Cell(task, optimizer, schedule, int(steps))


def answer_row(cell: Cell, effort: str, seed: int, best: BestRate) -> Row:
    """What an effort said."""
    lr = best.lr
    return {
        "kind": "answer", "cell": cell.name, "effort": effort, "seed": seed, "status": lr.status.value, "lr": lr.value,
        "low": lr.low, "high": lr.high, "cost": best.full_runs, "flags": list(lr.flags),
    }  # fmt: skip


def rate_row(cell: Cell, method: str, lr: float) -> Row:
    """A rate that costs nothing and has no interval."""
    return {
        "kind": "answer", "cell": cell.name, "effort": method, "seed": 0, "status": "ok", "lr": lr, "low": None,
        "high": None, "cost": 0.0, "flags": [],
    }  # fmt: skip


def ceiling_row(cell: Cell, curves: dict[tuple[int, int], Row], seed: int) -> Row:
    """The best of nine rates half a decade apart, each trained in full with one seed, which is none of the truth's."""
    row, nine = curves[cell.steps, seed], slice(None, None, 2)
    losses, rates = filled(row)[nine], cell.rates[nine]
    found = rate_row(cell, CEILING, rates[losses.index(min(losses))])
    return found | {"seed": seed, "cost": sum(row["spent"][nine]) / cell.steps}


def scored(row: Row, truth: Truth) -> Row:
    """The same with what is true of it; no rate loses everything and harms."""
    lr, found = row["lr"], {"task": truth.cell.task, "steps": truth.cell.steps}
    if lr is None:
        lost = {"regret": math.inf, "good": False, "close": False, "worse": True, "harmed": True, "holds": None}
        return row | found | lost | {"width": None}
    regret, harm = truth.regret(lr), truth.at(lr) - truth.at(DEFAULTS[truth.cell.optimizer])
    found |= {"regret": regret, "good": regret < NATS, "close": truth.ratio(lr) <= SHARE}
    found |= {"worse": harm > HARM, "harmed": harm > NATS, "holds": None, "width": None}
    if row["low"] is not None:
        found |= {"holds": row["low"] <= 10**truth.centre <= row["high"], "width": math.log10(row["high"] / row["low"])}
    return row | found
