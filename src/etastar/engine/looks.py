"""The monitors of one lane: when they look, what they have read, and what becomes of one that does not apply."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

from etastar.core.batch import Batch
from etastar.core.lane import Lane, Outcome, ReadingRow
from etastar.core.monitor import REFUSED, Monitor, Readings, looks_at
from etastar.core.randomness import isolated_randomness
from etastar.core.setup import Setup
from etastar.errors import DoesNotApply, UserCodeRaised


class Looks:
    """What a lane's monitors have read so far.

    Args:
        lane: with its monitors, in the order in which they look.
        setup: the lane before training, made only where a monitor looks.
        batch: its first, where it trains.
    """

    def __init__(self, lane: Lane, setup: Callable[[], Setup], batch: Batch) -> None:
        self.readings: tuple[ReadingRow, ...] = ()
        self._states: dict[Monitor, Any] = {}
        self._looked: dict[Monitor, int] = {}
        for monitor in lane.monitors:
            self._ask(monitor, 0, lambda monitor=monitor: ((), monitor.init(setup(), batch)))

    def due(self, step: int, *, last: bool = False) -> list[Monitor]:
        """Those that look after `step` updates; all that have not yet, where these were the `last`."""
        return [m for m in self._states if (last or looks_at(m, step)) and self._looked.get(m) != step]

    def look(self, step: int, setup: Callable[[], Setup], *, last: bool = False) -> None:
        """Let those that are due look at `setup`, which is made only for them."""
        if due := self.due(step, last=last):
            with isolated_randomness():
                shown = setup()
            for monitor in due:
                self._looked[monitor] = step
                self._ask(monitor, step, lambda monitor=monitor: monitor.look(step, shown, self._states[monitor]))

    def beside(self, outcome: Outcome) -> Outcome:
        """The outcome with what was read until its end, which rows notice later."""
        last = outcome.steps - outcome.broken  # what breaks is not looked at after its last step
        return replace(outcome, readings=tuple(reading for reading in self.readings if reading.step <= last))

    def fork(self) -> Looks:
        """The same for a second lane that goes on from here."""
        other = copy(self)
        other._states, other._looked = dict(self._states), dict(self._looked)
        return other

    def _ask(self, monitor: Monitor, step: int, look: Callable[[], tuple[Readings, Any]]) -> None:
        try:
            with isolated_randomness():
                read, self._states[monitor] = look()
        except (DoesNotApply, UserCodeRaised) as error:
            self._states.pop(monitor, None)
            read = [(str(error), REFUSED, math.nan)]
        self.readings += tuple(ReadingRow(step, repr(monitor), *one) for one in read)
