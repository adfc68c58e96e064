"""How a monitor's readings are drawn over steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drawn:
    """One quantity of a monitor as a line over steps, one a block; the first of a monitor's that has values is drawn.

    Args:
        quantity: its name in the readings.
        title: of the axis.
        mark: a value worth a line across.
        share_of: the quantity it is divided by, as that was at the first look.
    """

    quantity: str
    title: str
    mark: float | None = None
    share_of: str | None = None
