"""How a monitor's readings are drawn over steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drawn:
    """One quantity of a monitor as a line over steps, one a block.

    Args:
        quantity: its name in the readings.
        title: of the chart.
        caption: how it is read.
        mark, mark_name: a value worth a line across, and what it is called.
        share_of: the quantity it is divided by, as that was at the first look.
        instead: drawn only where none of the monitor's before it has values.
    """

    quantity: str
    title: str
    caption: str
    mark: float | None = None
    mark_name: str = ""
    share_of: str | None = None
    instead: bool = False
