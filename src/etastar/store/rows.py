"""An outcome as rows of the store's tables, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import torch

from etastar.core.lane import EpochRow, Lane, LaneStatus, Outcome, ReadingRow, StepRow
from etastar.version import __version__


def run_row(key: str, problem_id: str, outcome: Outcome, engine_name: str) -> dict[str, Any]:
    """What is stored of a lane, beside its steps, epochs and readings."""
    lane = outcome.lane
    return nan_to_none(
        {
            "key": key,
            "problem_id": problem_id,
            "lr": lane.lr,
            "seed": lane.seed,
            "planned_steps": lane.steps,
            "until": lane.until.value,
            "criterion": json.dumps(asdict(lane.criterion)),
            "policy": "; ".join([repr(lane.policy), *(f"{name}={value!r}" for name, value in lane.settings)]),
            "status": outcome.status.value,
            "reached": outcome.reached,
            "steps": outcome.steps,
            "shared": outcome.shared,
            "first_loss": outcome.first_loss,
            "first_valid_loss": outcome.first_valid_loss,
            "first_train_loss": outcome.first_train_loss,
            "end_loss": outcome.end_loss,
            "end_accuracy": outcome.end_accuracy,
            "valid_loss": outcome.valid_loss,
            "valid_accuracy": outcome.valid_accuracy,
            "seconds": outcome.seconds,
            "engine": engine_name,
            "torch_version": torch.__version__,
            "etastar_version": __version__,
            "created": now(),
        }
    )


def reading_rows(key: str, outcome: Outcome) -> list[dict[str, Any]]:
    """What is stored of a lane's readings."""
    return [{"run_key": key, **nan_to_none(vars(r)), "place": i} for i, r in enumerate(outcome.readings)]


def outcome_of(row: Any, lane: Lane, steps: Sequence[Any], epochs: Sequence[Any], readings: Sequence[Any] = ()) -> Outcome:
    """The outcome that was stored in these rows; of the readings those of the lane's monitors, as they were read."""
    monitors = {repr(monitor): i for i, monitor in enumerate(lane.monitors)}
    read = sorted((r for r in readings if r.monitor in monitors), key=lambda r: (r.step, monitors[r.monitor], r.place))
    return Outcome(
        lane=lane,
        status=LaneStatus(row.status),
        reached=row.reached,
        steps=row.steps,
        shared=row.shared or 0,
        first_loss=_nan(row.first_loss),
        end_loss=_nan(row.end_loss),
        end_accuracy=row.end_accuracy,
        valid_loss=row.valid_loss,
        valid_accuracy=row.valid_accuracy,
        first_valid_loss=row.first_valid_loss,
        first_train_loss=row.first_train_loss,
        trace=tuple(_row_of(StepRow, s, loss=_nan(s.loss)) for s in steps),
        epochs=tuple(_row_of(EpochRow, e, loss_mean=_nan(e.loss_mean), loss_sd=_nan(e.loss_sd)) for e in epochs),
        readings=tuple(_row_of(ReadingRow, r, value=_nan(r.value)) for r in read),
        seconds=row.seconds,
    )


def _row_of(kind: Any, row: Any, **changes: Any) -> Any:
    return kind(**{**{f.name: getattr(row, f.name) for f in fields(kind)}, **changes})


def nan_to_none(row: Mapping[str, Any]) -> dict[str, Any]:
    """SQLite stores NaN as NULL and PostgreSQL as NaN; NULL in both."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def now() -> str:
    """The time as tables have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
