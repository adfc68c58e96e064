"""Watches one lane: decides when it has trained or diverged, and keeps what the store and the plots need."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from dataclasses import dataclass, field

from etastar.core.lane import EpochRow, Lane, LaneStatus, Outcome, StepRow, Until

TRACE_POINTS = 256
GRAD_NORM_EVERY = 10
BLOW_UP = 1e6
"""A finite loss this many times its start counts as divergence. Catapults reach O(width) and come back; this does not."""
ABOVE_START = 1.5
"""A lane whose last window lies this far above its start has diverged; batch noise alone stays below it."""
DEAD_GRADIENT = 0.3
"""A lane back at the uninformed loss with less than this share of its first gradient norm is dead."""


@dataclass
class Recorder:
    """Told every step through `report`, in the user's own words; `outcome` is the record.

    Args:
        lane: what is run.
        steps_per_epoch: optimizer steps per pass over the data, where it is known.
    """

    lane: Lane
    steps_per_epoch: int | None = None
    reached: int | None = None
    non_finite: bool = False
    done: bool = False
    _step: int = 0
    _first_loss: float = math.nan
    _bound: float = math.nan
    _grad_norms: list[float] = field(default_factory=list)
    _trace: list[StepRow] = field(default_factory=list)
    _epochs: list[EpochRow] = field(default_factory=list)
    _epoch: _Epoch | None = None
    _started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        window = self.lane.criterion.window
        self._losses: deque[float] = deque(maxlen=window)
        self._accuracies: deque[float] = deque(maxlen=window)
        self._stride = -(-self.lane.steps // TRACE_POINTS)

    @property
    def step(self) -> int:
        """Steps reported so far."""
        return self._step

    def wants_grad_norm(self) -> bool:
        """Whether the gradient norm of the coming step is worth its cost."""
        return self._step % GRAD_NORM_EVERY == 0

    def report(
        self,
        loss: float,
        accuracy: float | None = None,
        grad_norm: float | None = None,
        lr: float | None = None,
        clipped: bool | None = None,
    ) -> bool:
        """One step's batch loss and accuracy, measured before its update; returns whether to go on."""
        if self.done:
            return False
        loss = float(loss)
        accuracy = None if accuracy is None else float(accuracy)
        grad_norm = None if grad_norm is None else float(grad_norm)
        row = StepRow(self._step, self.lane.lr if lr is None else float(lr), loss, accuracy, grad_norm)
        if self._step == 0:
            self._first_loss = loss
            self._bound = self.lane.criterion.bound(loss)
        self._step += 1
        self.non_finite = not math.isfinite(loss) or loss > BLOW_UP * max(abs(self._first_loss), abs(self._bound))
        self._losses.append(loss)
        if accuracy is not None:
            self._accuracies.append(accuracy)
        if grad_norm is not None and math.isfinite(grad_norm):
            self._grad_norms.append(grad_norm)
        if self.reached is None and self._meets():
            self.reached = self._step
        decided = self.reached is not None and self.lane.until is Until.SUCCESS
        self.done = self.non_finite or decided or self._step >= self.lane.steps
        self._keep(row, clipped)
        return not self.done

    def _meets(self) -> bool:
        criterion = self.lane.criterion
        if self.non_finite or len(self._losses) < min(criterion.window, self.lane.steps):
            return False
        if not statistics.fmean(self._losses) <= self._bound:
            return False
        if criterion.accuracy is None:
            return True
        complete = len(self._accuracies) == len(self._losses)
        return complete and statistics.fmean(self._accuracies) >= criterion.accuracy

    def _keep(self, row: StepRow, clipped: bool | None) -> None:
        if row.step % self._stride == 0 or self.done:
            self._trace.append(row)
        if self._epoch is None:
            self._epoch = _Epoch(len(self._epochs), row.step)
        self._epoch.add(row, clipped)
        if self.done or (self.steps_per_epoch and self._epoch.count == self.steps_per_epoch):
            self._epochs.append(self._epoch.row())
            self._epoch = None

    def outcome(self, *, valid_loss: float | None = None, valid_accuracy: float | None = None) -> Outcome:
        """The lane's record; call when it has stopped."""
        if self._epoch is not None:
            self._epochs.append(self._epoch.row())
            self._epoch = None
        return Outcome(
            lane=self.lane,
            status=self._status(),
            reached=self.reached,
            steps=self._step,
            first_loss=self._first_loss,
            end_loss=statistics.fmean(self._losses) if self._losses else math.nan,
            end_accuracy=statistics.fmean(self._accuracies) if self._accuracies else None,
            valid_loss=valid_loss,
            valid_accuracy=valid_accuracy,
            trace=tuple(self._trace),
            epochs=tuple(self._epochs),
            seconds=time.perf_counter() - self._started,
        )

    def _status(self) -> LaneStatus:
        if self.non_finite:
            return LaneStatus.DIVERGED
        if self.reached is not None and (self.lane.until is Until.SUCCESS or self._meets()):
            return LaneStatus.TRAINED
        if not self._losses:
            return LaneStatus.SLOW
        start = self.lane.criterion.reference(self._first_loss)
        end = statistics.fmean(self._losses)
        if end > max(start, self._first_loss) + (ABOVE_START - 1) * abs(start):
            return LaneStatus.DIVERGED
        gone = self._grad_norms and self._grad_norms[-1] < DEAD_GRADIENT * self._grad_norms[0]
        return LaneStatus.DEAD if gone and end >= 0.95 * start else LaneStatus.SLOW


@dataclass
class _Epoch:
    """Running sums of one epoch."""

    epoch: int
    step0: int
    rows: list[StepRow] = field(default_factory=list)
    clipped: list[bool] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.rows)

    def add(self, row: StepRow, clipped: bool | None) -> None:
        self.rows.append(row)
        if clipped is not None:
            self.clipped.append(clipped)

    def row(self) -> EpochRow:
        losses = [r.loss for r in self.rows]
        finite = [x for x in losses if math.isfinite(x)]
        accuracies = [r.accuracy for r in self.rows if r.accuracy is not None]
        norms = [r.grad_norm for r in self.rows if r.grad_norm is not None]
        return EpochRow(
            epoch=self.epoch,
            step0=self.step0,
            step1=self.step0 + self.count,
            lr_first=self.rows[0].lr,
            lr_last=self.rows[-1].lr,
            lr_sum=math.fsum(r.lr for r in self.rows),
            lr_sq_sum=math.fsum(r.lr**2 for r in self.rows),
            loss_mean=statistics.fmean(finite) if finite else math.nan,
            loss_sd=statistics.stdev(finite) if len(finite) > 1 else math.nan,
            accuracy_mean=statistics.fmean(accuracies) if accuracies else None,
            grad_norm_median=statistics.median(norms) if norms else None,
            clipped_fraction=statistics.fmean(self.clipped) if self.clipped else None,
            non_finite=len(finite) < len(losses),
        )
