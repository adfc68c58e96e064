"""Of `scale`."""

from __future__ import annotations

from etastar.reports.parts import Table
from etastar.reports.terminal.cells import NONE, rate_cells
from etastar.verbs.scale.scale_answer import ScaleAnswer


def scale_tables(answer: ScaleAnswer) -> list[Table]:
    """The members and the target; the laws, what to measure next and the transfer, where there are any."""
    if not answer.runs:
        return []
    found = [_members(answer), _laws(answer), _next(answer), _transfer(answer)]
    return [table for table in found if table.rows]


def _members(answer: ScaleAnswer) -> Table:
    names = list(answer.target)
    rows = []
    for m in answer.members:
        sizes = [f"{m.sizes[name]:g}" for name in names]
        rows.append((*sizes, *rate_cells(m.lr), str(m.lr.n or NONE), f"{m.seconds:.1f}" if m.seconds else NONE, m.left_out))
    target = (*(f"{answer.target[name]:g}" for name in names), *rate_cells(answer.lr), NONE, NONE, "predicted")
    return Table("", (*names, answer.quantity, "90 % interval", "lanes", "seconds", ""), (*rows, target))


def _laws(answer: ScaleAnswer) -> Table:
    rows = []
    for i, f in enumerate(answer.law.fits):
        mark = "chosen" if i == 0 else "as good" if f.tied else ""
        rows.append((f.formula, mark, f"{f.loo:.3f}", f"{f.r_squared:.3f}", str(f.candidate.fitted), f.candidate.why))
    head = ("law", "", "error", "R2", "fitted", "where it comes from")
    return Table("laws, leave-one-out error in decades:", head, tuple(rows))


def _next(answer: ScaleAnswer) -> Table:
    names = list(answer.target)
    rows = []
    for s in answer.next:
        seconds = f"{s.cost:.0f}" if s.cost == s.cost else NONE
        rows.append((*(f"{s.sizes[n]:g}" for n in names), seconds, NONE if s.factor is None else f"{s.factor:.2f}"))
    return Table("measure next:", (*names, "seconds, about", "interval then, high / low"), tuple(rows))


def _transfer(answer: ScaleAnswer) -> Table:
    points = answer.transfer.points if answer.transfer else ()
    summary = answer.transfer.summary if answer.transfer else ""
    rows = tuple((p.parametrisation, f"{p.width:g}", *rate_cells(p.lr)) for p in points)
    return Table(f"does the rate transfer over widths? {summary}", ("", "width", answer.quantity, "90 %"), rows)
