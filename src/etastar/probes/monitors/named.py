"""The monitors by name, and from what a user asks for to monitors of a training of so many steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from etastar.arguments import shown
from etastar.core.monitor import Monitor, check_monitors
from etastar.errors import ProblemError
from etastar.probes.monitors.move_monitor import MoveMonitor
from etastar.probes.monitors.norm_monitor import NormMonitor
from etastar.probes.monitors.sharpness_monitor import SharpnessMonitor
from etastar.probes.monitors.stability_monitor import StabilityMonitor

MONITORS: dict[str, Callable[[int], Monitor]] = {
    "sharpness": SharpnessMonitor,
    "move": MoveMonitor,
    "norms": NormMonitor,
    "stability": StabilityMonitor,
}
"""name -> monitor of a cadence."""
LOOKS = 20
"""Looks at a training whose cadence nobody gave: enough for a line of a chart."""


def monitors_over(given: str | Sequence[str | Monitor], steps: int) -> tuple[Monitor, ...]:
    """The monitors that `given` means for a training of `steps`: names, also in one text, or monitors.

    Raises:
        ProblemError: there is no such monitor, or one twice.

    >>> monitors_over("move, sharpness", 1000)
    (MoveMonitor(every=50), SharpnessMonitor(every=50, products=10))
    """
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    if isinstance(parts, Monitor) or not isinstance(parts, Sequence):
        raise ProblemError(f"monitors is {shown(given)}; expected a list, e.g. ['sharpness', MoveMonitor(every=50)]")
    if unknown := [part for part in parts if isinstance(part, str) and part not in MONITORS]:
        raise ProblemError(f"there is no monitor {shown(unknown[0])}; expected some of {', '.join(MONITORS)}")
    every = max(1, steps // LOOKS)
    found = tuple(MONITORS[part](every) if isinstance(part, str) else part for part in parts)
    check_monitors(found)
    return found
