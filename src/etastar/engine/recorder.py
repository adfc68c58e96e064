"""What is kept of a lane, and when it is decided: one history and one set of rules for every engine and a user's loop."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etastar.core.lane import EpochRow, Lane, LaneStatus, Outcome, StepRow, Until
from etastar.errors import UserCodeRaised

TRACE_POINTS = 256
GRAD_NORM_EVERY = 10
BLOW_UP = 1e6
"""A finite loss this many times its start counts as divergence. Catapults reach O(width) and come back; this does not."""
ABOVE_START = 1.5
"""A lane whose last window lies this far above its start has diverged; batch noise alone stays below it."""
DEAD_GRADIENT = 0.3
"""A lane back at the uninformed loss with less than this share of its first gradient norm is dead."""
DEAD_SHARE, DEAD_LOOKS = 0.01, 5
"""A lane is dead, and decided, when at most this share of the parameters that had a gradient at its start still has one that
is not exactly zero, in so many looks in a row, `GRAD_NORM_EVERY` steps apart: its units are off for every sample. Networks
with 2-5 % left, or for 30 steps only, were seen to come back."""
UNINFORMED = 0.95
"""A loss of at least this share of the uninformed one says that a network knows nothing."""
COLUMNS = ("losses", "accuracies", "grad_norms", "lrs", "clipped")
"""What a history holds of every step."""


def blow_up_loss(lane: Lane, first_loss: float) -> float:
    """The loss beyond which a lane that started at `first_loss` has diverged."""
    return BLOW_UP * max(abs(first_loss), abs(lane.criterion.bound(first_loss)))


def is_dead(lane: Lane, first_loss: float, losses: Sequence[float], alive: Sequence[float]) -> bool:
    """Whether a network is off: it knows nothing, and (almost) all its gradients have been exactly zero for a while.

    Args:
        losses: of the last window.
        alive: counts of non-zero gradients, one per look since the start.
    """
    if len(alive) <= DEAD_LOOKS or max(alive[-DEAD_LOOKS:]) > DEAD_SHARE * alive[0]:
        return False
    return statistics.fmean(losses) >= UNINFORMED * lane.criterion.reference(first_loss)


def meets(lane: Lane, bound: float, losses: Sequence[float], accuracies: Sequence[float | None]) -> bool:
    """Whether the last steps of a lane (at most a window of them) meet its criterion; `bound` is the criterion's."""
    criterion = lane.criterion
    if len(losses) < min(criterion.window, lane.steps) or not statistics.fmean(losses) <= bound:
        return False
    if criterion.accuracy is None:
        return True
    known = [a for a in accuracies if a is not None]
    return len(known) == len(losses) and statistics.fmean(known) >= criterion.accuracy


@dataclass
class History:
    """What one lane did, step by step; each value was measured before that step's update.

    Args:
        lane: what was run.
        steps_per_epoch: optimizer steps per pass over the data, where it is known.
        losses, accuracies, grad_norms, lrs, clipped: one value per step; None where it was not measured.
        reached: steps taken when the criterion was first met.
        non_finite: whether the last loss was not finite, or blew up.
        dead: whether it was stopped because (almost) all its gradients had become exactly zero.
        error: what the user's code raised, if that was its end.
        unheard: steps that a loop of the user's own took after it was told to stop.
    """

    lane: Lane
    steps_per_epoch: int | None = None
    losses: list[float] = field(default_factory=list)
    accuracies: list[float | None] = field(default_factory=list)
    grad_norms: list[float | None] = field(default_factory=list)
    lrs: list[float] = field(default_factory=list)
    clipped: list[bool | None] = field(default_factory=list)
    reached: int | None = None
    non_finite: bool = False
    dead: bool = False
    error: UserCodeRaised | None = None
    unheard: int = 0

    def meets(self) -> bool:
        """Whether the last window meets the lane's criterion."""
        window = self.lane.criterion.window
        bound = self.lane.criterion.bound(self.losses[0])
        return not self.non_finite and meets(self.lane, bound, self.losses[-window:], self.accuracies[-window:])

    @property
    def status(self) -> LaneStatus:
        """How the lane ended."""
        if self.non_finite:
            return LaneStatus.DIVERGED
        if self.error is not None:
            return LaneStatus.RAISED
        if self.dead:
            return LaneStatus.DEAD
        if self.reached is not None and (self.lane.until is Until.SUCCESS or self.meets()):
            return LaneStatus.TRAINED
        if not self.losses:
            return LaneStatus.SLOW
        start = self.lane.criterion.reference(self.losses[0])
        end = self._end_loss()
        if end > max(start, self.losses[0]) + (ABOVE_START - 1) * abs(start):
            return LaneStatus.DIVERGED
        norms = [n for n in self.grad_norms if n is not None and math.isfinite(n)]
        gone = norms and norms[-1] < DEAD_GRADIENT * norms[0]
        return LaneStatus.DEAD if gone and end >= UNINFORMED * start else LaneStatus.SLOW

    def outcome(
        self, *, valid_loss: float | None = None, valid_accuracy: float | None = None, seconds: float = 0.0
    ) -> Outcome:
        """The lane's record."""
        raised = self.error if self.status is LaneStatus.RAISED else None
        window = self.lane.criterion.window
        accuracies = [a for a in self.accuracies[-window:] if a is not None]
        return Outcome(
            lane=self.lane,
            status=self.status,
            reached=self.reached,
            steps=len(self.losses) + self.unheard,
            first_loss=self.losses[0] if self.losses else math.nan,
            end_loss=self._end_loss(),
            end_accuracy=statistics.fmean(accuracies) if accuracies else None,
            valid_loss=valid_loss,
            valid_accuracy=valid_accuracy,
            trace=self._trace(),
            epochs=self._epochs(),
            seconds=seconds,
            error=None if raised is None else str(raised),
            traceback="" if raised is None else raised.all_of_it(),
        )

    def _end_loss(self) -> float:
        return statistics.fmean(self.losses[-self.lane.criterion.window :]) if self.losses else math.nan

    def _trace(self) -> tuple[StepRow, ...]:
        """Every n-th step and the last, at most `TRACE_POINTS` + 1 of them."""
        if not self.losses:
            return ()
        last = len(self.losses) - 1
        stride = -(-self.lane.steps // TRACE_POINTS)
        kept = [*range(0, last + 1, stride), *([last] if last % stride else [])]
        return tuple(StepRow(i, self.lrs[i], self.losses[i], self.accuracies[i], self.grad_norms[i]) for i in kept)

    def _epochs(self) -> tuple[EpochRow, ...]:
        size = self.steps_per_epoch or max(len(self.losses), 1)
        starts = range(0, len(self.losses), size)
        return tuple(self._epoch(i, start, min(start + size, len(self.losses))) for i, start in enumerate(starts))

    def _epoch(self, epoch: int, start: int, stop: int) -> EpochRow:
        losses, lrs = self.losses[start:stop], self.lrs[start:stop]
        finite = [x for x in losses if math.isfinite(x)]
        mean = statistics.fmean(finite) if finite else math.nan
        accuracies = [a for a in self.accuracies[start:stop] if a is not None]
        norms = [n for n in self.grad_norms[start:stop] if n is not None]
        clipped = [c for c in self.clipped[start:stop] if c is not None]
        return EpochRow(
            epoch=epoch,
            step0=start,
            step1=stop,
            lr_first=lrs[0],
            lr_last=lrs[-1],
            lr_sum=math.fsum(lrs),
            lr_sq_sum=math.fsum(lr * lr for lr in lrs),
            loss_mean=mean,
            loss_sd=_sd(finite, mean),
            accuracy_mean=statistics.fmean(accuracies) if accuracies else None,
            grad_norm_median=statistics.median(norms) if norms else None,
            clipped_fraction=statistics.fmean(clipped) if clipped else None,
            non_finite=len(finite) < len(losses),
        )


def _sd(values: list[float], mean: float) -> float:
    if len(values) < 2:
        return math.nan
    return math.sqrt(math.fsum((x - mean) * (x - mean) for x in values) / (len(values) - 1))


class Recorder:
    """Watches one lane: told every step through `report`, in the user's own words, it says whether to go on."""

    def __init__(self, lane: Lane, steps_per_epoch: int | None = None) -> None:
        self.history = History(lane, steps_per_epoch)
        self.done = False
        self._alive: list[float] = []
        self._bound = self._blow_up = math.nan
        self._started = time.perf_counter()

    @property
    def step(self) -> int:
        """Steps reported so far."""
        return len(self.history.losses)

    @property
    def non_finite(self) -> bool:
        """Whether the last loss was not finite, or blew up."""
        return self.history.non_finite

    def wants_grad_norm(self) -> bool:
        """Whether the gradient norm of the coming step is worth its cost."""
        return self.step % GRAD_NORM_EVERY == 0

    def report(
        self,
        loss: float,
        accuracy: float | None = None,
        grad_norm: float | None = None,
        lr: float | None = None,
        clipped: bool | None = None,
        alive: float | None = None,
    ) -> bool:
        """One step's batch loss and accuracy, measured before its update; returns whether to go on.

        `alive` is the number of gradients that are not exactly zero, where it was counted.
        """
        if self.done:
            self.history.unheard += 1
            return False
        history, lane = self.history, self.history.lane
        loss = float(loss)
        if self.step == 0:
            self._bound, self._blow_up = lane.criterion.bound(loss), blow_up_loss(lane, loss)
        history.losses.append(loss)
        history.accuracies.append(None if accuracy is None else float(accuracy))
        history.grad_norms.append(None if grad_norm is None else float(grad_norm))
        history.lrs.append(lane.lr if lr is None else float(lr))
        history.clipped.append(clipped)
        history.non_finite = not math.isfinite(loss) or loss > self._blow_up
        if history.reached is None and not history.non_finite and self._meets():
            history.reached = self.step
        decided = history.reached is not None and lane.until is Until.SUCCESS
        if alive is not None:
            self._alive.append(alive)
            window = history.losses[-lane.criterion.window :]
            dead = is_dead(lane, history.losses[0], window, self._alive)
            history.dead = dead and not history.non_finite and not decided
        self.done = history.non_finite or decided or history.dead or self.step >= lane.steps
        return not self.done

    def state(self) -> dict[str, Any]:
        """What was recorded, as numbers in lists."""
        history = self.history
        return {name: list(getattr(history, name)) for name in COLUMNS} | {"reached": history.reached, "alive": self._alive}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what was recorded of an undecided lane."""
        history = self.history
        for name in COLUMNS:
            setattr(history, name, list(state[name]))
        history.reached, self._alive = state["reached"], list(state["alive"])
        if history.losses:
            first, lane = history.losses[0], history.lane
            self._bound, self._blow_up = lane.criterion.bound(first), blow_up_loss(lane, first)

    def used(self, lr: float) -> None:
        """The rate of the last step, where it is known only after its report."""
        self.history.lrs[-1] = lr

    def raised(self, error: UserCodeRaised) -> None:
        """The user's code raised: the lane is over."""
        self.history.error = error
        self.done = True

    def _meets(self) -> bool:
        history, window = self.history, self.history.lane.criterion.window
        return meets(history.lane, self._bound, history.losses[-window:], history.accuracies[-window:])

    def outcome_as(self, lane: Lane, valid_loss: float | None = None, valid_accuracy: float | None = None) -> Outcome:
        """The record under the name of another lane, which has the same past."""
        seconds = time.perf_counter() - self._started
        own = replace(self.history, lane=lane)
        return own.outcome(valid_loss=valid_loss, valid_accuracy=valid_accuracy, seconds=seconds)

    def outcome(self, *, valid_loss: float | None = None, valid_accuracy: float | None = None) -> Outcome:
        """The lane's record; call when it has stopped."""
        seconds = time.perf_counter() - self._started
        return self.history.outcome(valid_loss=valid_loss, valid_accuracy=valid_accuracy, seconds=seconds)
