"""Stored lanes that are trained again, because something of them that is asked for was not stored."""

from __future__ import annotations

import math

from etastar.core.lane import LaneStatus, Outcome, Until
from etastar.core.problem import Problem
from etastar.errors import ProblemError

TOLERANCE = 1e-3
"""Relative, between the last losses of a lane trained twice: another machine rounds otherwise."""


def is_complete(problem: Problem, stored: Outcome) -> bool:
    """Whether a stored lane has its loss before training, where one is measured, and all its monitors have read it."""
    return not (_lacks_first(problem, stored) or _unread(stored))


def check_again(stored: Outcome | None, again: Outcome, where: str) -> None:
    """Refuse the readings of a lane that did not do what the stored one did, on which everything else rests.

    Raises:
        ProblemError: they ended otherwise.
    """
    if stored is None or not again.lane.monitors or again.status is LaneStatus.RAISED or _agree(stored, again):
        return
    raise ProblemError(
        f"{where} has the lane of lr {stored.lane.lr:.4g} and seed {stored.lane.seed} as {_ended(stored)}, but trained "
        f"again for its monitors it is {_ended(again)}; expected the same: pass another --store"
    )


def _lacks_first(problem: Problem, outcome: Outcome) -> bool:
    """Whether a stored lane has nothing its end can be compared with: it was stored before that was measured."""
    if problem.is_loop or outcome.lane.until is not Until.END:
        return False
    return outcome.first_valid_loss is None and outcome.first_train_loss is None


def _unread(outcome: Outcome) -> bool:
    """Whether a stored lane has no reading of one of its monitors: it was trained without."""
    return not {repr(monitor) for monitor in outcome.lane.monitors} <= {reading.monitor for reading in outcome.readings}


def _agree(stored: Outcome, again: Outcome) -> bool:
    """Whether a lane did the same twice, but for rounding."""
    if (stored.status, stored.steps) != (again.status, again.steps):
        return False
    return stored.broken or math.isclose(stored.end_loss, again.end_loss, rel_tol=TOLERANCE)


def _ended(outcome: Outcome) -> str:
    return f"{outcome.status.value} after {outcome.steps} steps at loss {outcome.end_loss:.6g}"
