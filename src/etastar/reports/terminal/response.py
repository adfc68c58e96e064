"""Of `surface`, `sensitivity` and `momentum`."""

from __future__ import annotations

from etastar.reports.parts import Table
from etastar.reports.terminal.cells import NONE, answer_cells, rate_cells
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer
from etastar.verbs.surface.surface_answer import SurfaceAnswer


def surface_tables(answer: SurfaceAnswer) -> list[Table]:
    """The best rate of every schedule and horizon, the cells no other beats, and how the best rate falls with the steps."""
    if not answer.runs:
        return []
    reaches = _reaches(answer.data.target)
    rows = [(b.schedule, str(b.horizon), *rate_cells(b.lr), *answer_cells(b.cell)) for b in answer.rows]
    front = [(c.schedule, str(c.horizon), f"{c.lr:.3g}", *answer_cells(c)) for c in answer.front]
    gamma = [(schedule, *rate_cells(e, "{:.2f}")) for schedule, e in answer.exponents.items()]
    head = ("schedule", "steps", "best rate", "90 % interval", *_head(answer.loss_name), reaches)
    front_head = ("schedule", "steps", "rate", *_head("loss"), reaches)
    return [
        Table("", head, tuple(rows)),
        Table("no cell beats these in time, loss and reliability at once:", front_head, tuple(front)),
        Table("best rate ~ steps^-gamma:", ("schedule", "gamma", "90 % interval"), tuple(gamma)),
    ]


def sensitivity_tables(answer: SensitivityAnswer) -> list[Table]:
    """One row a rate of the grid."""
    if not answer.runs:
        return []
    head = ("rate", *_head(answer.loss_name), _reaches(answer.data.target), "diverged", "dead", "slow", "raised")
    rows = [
        (f"{c.lr:.3g}", *answer_cells(c), str(c.diverged), str(c.dead), str(c.slow), str(c.raised)) for c in answer.cells
    ]
    return [Table("", head, tuple(rows))]


def momentum_tables(answer: MomentumAnswer) -> list[Table]:
    """One row a momentum."""
    if not answer.runs:
        return []
    effective = ("rate / (1 - momentum)",) if answer.setting == "momentum" else ()
    head = (answer.setting, "best rate", "90 % interval", *effective, *_head(answer.loss_name))
    rows = []
    for r in answer.rows:
        name = f"{r.value:g}" + (" (yours)" if r.value == answer.own else "")
        length = (NONE if r.effective_lr is None else f"{r.effective_lr:.3g}",) if effective else ()
        rows.append((name, *rate_cells(r.best.lr), *length, *answer_cells(r.cell)[:3]))
    return [Table("", head, tuple(rows))]


def _head(loss: str) -> tuple[str, str, str]:
    return loss, "accuracy", "train"


def _reaches(target: float | None) -> str:
    return "steps to target" if target is None else f"steps to {target:g}"
