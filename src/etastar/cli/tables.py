"""The short tables of surfaces, sensitivities and momenta."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from etastar.cli.plain import new_table
from etastar.core.estimate import Estimate
from etastar.designs.surface.surface_cells import Cell
from etastar.verbs.scale.scale_answer import ScaleAnswer
from etastar.verbs.surface.momentum import MomentumAnswer
from etastar.verbs.surface.sensitivity import SensitivityAnswer
from etastar.verbs.surface.surface_answer import SurfaceAnswer

NONE = "-"


def tables_of(answer: Any) -> list[Table]:
    """The tables of an answer; none where it has no kind of its own."""
    makers: dict[type, Any] = {
        SurfaceAnswer: _surface,
        SensitivityAnswer: _sensitivity,
        MomentumAnswer: _momentum,
        ScaleAnswer: _scale,
    }
    return makers[type(answer)](answer)


def _surface(answer: SurfaceAnswer) -> list[Table]:
    target = answer.data.target
    reaches = "steps to target" if target is None else f"steps to {target:g}"
    rows = new_table(None, ("schedule", "steps", "best rate", "90 % interval", *_head(answer.loss_name), reaches))
    for b in answer.best:
        rows.add_row(b.schedule, str(b.horizon), *_rate(b.lr), *_cell(b.cell))
    front = new_table(
        "no cell beats these in time, loss and reliability at once:", ("schedule", "steps", "rate", *_head("loss"), reaches)
    )
    for c in answer.front:
        front.add_row(c.schedule, str(c.horizon), f"{c.lr:.3g}", *_cell(c))
    gamma = new_table("best rate ~ steps^-gamma:", ("schedule", "gamma", "90 % interval"))
    for schedule, e in answer.exponents.items():
        gamma.add_row(schedule, *_rate(e, "{:.2f}"))
    return [rows, front, gamma]


def _head(loss: str) -> tuple[str, str, str]:
    return loss, "accuracy", "train"


def _sensitivity(answer: SensitivityAnswer) -> list[Table]:
    target = answer.data.target
    reaches = "steps to target" if target is None else f"steps to {target:g}"
    rows = new_table(None, ("rate", *_head(answer.loss_name), reaches, "diverged", "dead", "slow", "raised"))
    for c in answer.cells:
        rows.add_row(f"{c.lr:.3g}", *_cell(c), str(c.diverged), str(c.dead), str(c.slow), str(c.raised))
    return [rows]


def _momentum(answer: MomentumAnswer) -> list[Table]:
    effective = ("rate / (1 - momentum)",) if answer.setting == "momentum" else ()
    head = (answer.setting, "best rate", "90 % interval", *effective, *_head(answer.loss_name))
    rows = new_table(None, head)
    for r in answer.rows:
        name = f"{r.value:g}" + (" (yours)" if r.value == answer.yours else "")
        length = (NONE if r.effective_lr is None else f"{r.effective_lr:.3g}",) if effective else ()
        rows.add_row(name, *_rate(r.best.lr), *length, *_cell(r.cell)[:3])
    return [rows]


def _scale(answer: ScaleAnswer) -> list[Table]:
    names = list(answer.target)
    rows = new_table(None, (*names, answer.quantity, "90 % interval", "lanes", "seconds", ""))
    for m in answer.members:
        sizes = [f"{m.sizes[name]:g}" for name in names]
        rows.add_row(*sizes, *_rate(m.lr), str(m.lr.n or NONE), f"{m.seconds:.1f}" if m.seconds else NONE, m.left_out)
    rows.add_row(*(f"{answer.target[name]:g}" for name in names), *_rate(answer.lr), NONE, NONE, "predicted")
    found = [rows]
    if answer.law.fits:
        laws = new_table(
            "laws, leave-one-out error in decades:", ("law", "", "error", "R2", "fitted", "where it comes from")
        )
        for i, f in enumerate(answer.law.fits):
            mark = "chosen" if i == 0 else "as good" if f.tied else ""
            loo, r2 = f"{f.loo:.3f}", f"{f.r_squared:.3f}"
            laws.add_row(f.formula, mark, loo, r2, str(f.candidate.fitted), f.candidate.why)
        found.append(laws)
    if answer.next:
        further = new_table("measure next:", (*names, "seconds, about", "interval then, high / low"))
        for s in answer.next:
            seconds = f"{s.cost:.0f}" if s.cost == s.cost else NONE
            further.add_row(*(f"{s.sizes[n]:g}" for n in names), seconds, NONE if s.factor is None else f"{s.factor:.2f}")
        found.append(further)
    if answer.transfer:
        both = new_table(
            f"does the rate transfer over widths? {answer.transfer.summary}", ("", "width", answer.quantity, "90 %")
        )
        for p in answer.transfer.points:
            both.add_row(p.parametrisation, f"{p.width:g}", *_rate(p.lr))
        found.append(both)
    return found


def _rate(e: Estimate, form: str = "{:.3g}") -> tuple[str, str]:
    if e.value is None:
        return NONE, e.status.value
    return form.format(e.value), f"{form} .. {form}".format(e.low, e.high)


def _cell(cell: Cell | None) -> tuple[str, str, str, str]:
    """Loss, accuracy, seeds that trained, steps to the target."""
    if cell is None:
        return NONE, NONE, NONE, NONE
    time = f"> {cell.horizon}" if cell.time is None and cell.loss is not None else NONE
    return (
        NONE if cell.loss is None else f"{cell.loss:.3g}",
        NONE if cell.metric is None else f"{cell.metric:.3g}",
        f"{cell.trained} of {cell.n}",
        time if cell.time is None else f"{cell.time:.0f}",
    )
