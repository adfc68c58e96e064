"""Keeping lanes under way on a shelf, now and then, and going on from there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from etastar.core.lane import Lane
from etastar.core.snapshot import Snapshot
from etastar.core.training import Shelf, Training
from etastar.engine.trunks import Stem, stems_of
from etastar.errors import DoesNotApply, ProblemError

WORTH = 3.0
"""Seconds of training that are kept when time is over; a snapshot of 11 M parameters and momenta is written in .2 s."""


@dataclass(frozen=True)
class Start:
    """Stems that start together: at their start, or from snapshots of one step."""

    stems: tuple[Stem, ...]
    at: tuple[Snapshot, ...] | None = None


class Keeping:
    """What an engine does with its shelf.

    Args:
        shelf: None: nothing is kept, nothing is found.
    """

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelf = shelf
        self._last = time.monotonic()

    def starts(self, lanes: Mapping[int, Lane]) -> list[Start]:
        """Lanes that begin alike as stems, each where it was kept last."""
        if self._shelf is None:
            return [Start(tuple(stems_of(lanes)))]
        own = {number: self._shelf.find(lane) for number, lane in lanes.items() if not lane.monitors}
        begun = {
            number: kept for number, kept in own.items() if kept is not None and kept.lane.policy == lanes[number].policy
        }
        stems = [(Stem(lanes[number], (number,)), kept) for number, kept in begun.items()]
        rest = stems_of({number: lane for number, lane in lanes.items() if number not in begun})
        stems += [(stem, None if stem.lane.monitors else self._shelf.find(stem.lane, stem.stop)) for stem in rest]
        return _by_step(stems)

    def look(self, training: Training, *, last: bool = False) -> None:
        """Keep what trains on, if that is due, or worth it because it is the `last` look at it."""
        if self._shelf is None:
            return
        due = min(WORTH, self._shelf.every) if last else self._shelf.every
        if time.monotonic() - self._last < due:
            return
        with suppress(ProblemError, DoesNotApply):  # code that remembers cannot be kept
            self._shelf.keep([training.snapshot(row) for row in training.undecided])
        self._last = time.monotonic()


def _by_step(stems: Sequence[tuple[Stem, Snapshot | None]]) -> list[Start]:
    fresh = tuple(stem for stem, kept in stems if kept is None)
    found = [Start(fresh)] if fresh else []
    steps = dict.fromkeys(kept.step for _, kept in stems if kept is not None)
    for step in steps:
        own = [(replace(stem, start=step), kept) for stem, kept in stems if kept is not None and kept.step == step]
        found.append(Start(tuple(stem for stem, _ in own), tuple(kept for _, kept in own)))
    return found
