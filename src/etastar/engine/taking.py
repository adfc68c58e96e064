"""What may be asked of a `Training`, whoever trains."""

from __future__ import annotations

from collections.abc import Sequence

from etastar.core.lane import Lane
from etastar.core.snapshot import Snapshot, check_begins
from etastar.core.training import Training
from etastar.errors import ProblemError
from etastar.policies.trunk import way_to


def check_start(lanes: Sequence[Lane], at: Sequence[Snapshot] | None) -> None:
    """Refuse snapshots that are not one a lane, or not at one step, and monitors that would miss what came before.

    Raises:
        ProblemError: they are not.
    """
    if at is not None and (len(at) != len(lanes) or len({snapshot.step for snapshot in at}) != 1):
        steps = sorted({snapshot.step for snapshot in at})
        raise ProblemError(
            f"{len(at)} snapshots of steps {steps} were given; expected one a lane ({len(lanes)}), of one step"
        )
    if at and any(lane.monitors for lane in lanes):
        raise ProblemError(
            "a lane with monitors cannot go on from a snapshot: they read it from its start; drop them, or start it anew"
        )


def check_take(training: Training, rows: Sequence[int], lanes: Sequence[Lane] | None) -> list[Lane]:
    """The lanes as which `rows` go on.

    Raises:
        ProblemError: a row is decided or does not exist; or the lanes are not one a row, begin otherwise, or have other
            monitors. Nothing has changed then.
    """
    for row in rows:
        if row not in training.undecided:
            raise ProblemError(
                f"row {row} cannot be taken: it is decided, or there is none; expected rows that train on "
                f"({', '.join(map(str, training.undecided)) or 'none does'})"
            )
    if lanes is not None and len(lanes) != len(rows):
        raise ProblemError(f"{len(lanes)} lanes were given for {len(rows)} rows; expected one a row")
    if lanes is None:
        return [training.lanes[row] for row in rows]
    for row, lane in zip(rows, lanes, strict=True):
        check_begins(lane, training.lanes[row], training.step)
        way_to(lane.policy, training.lanes[row].policy, training.step)
        if lane.monitors != training.lanes[row].monitors:
            raise ProblemError(
                f"row {row} cannot be taken as a lane of other monitors: they read it from its start; expected its own"
            )
    return list(lanes)
