"""How estimates and cells of a response surface stand in a row of a table."""

from __future__ import annotations

from etastar.core.estimate import Estimate
from etastar.designs.surface.surface_cells import Cell

NONE = "-"


def rate_cells(e: Estimate, form: str = "{:.3g}") -> tuple[str, str]:
    """Value and interval; without a value the status."""
    if e.value is None:
        return NONE, e.status.value
    return form.format(e.value), f"{form} .. {form}".format(e.low, e.high)


def answer_cells(cell: Cell | None) -> tuple[str, str, str, str]:
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
