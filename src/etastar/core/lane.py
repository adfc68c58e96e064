"""`Lane`: one training to run. `Outcome`: what it did. `Criterion`: when a lane counts as having started to train."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, overload

from etastar.arguments import shown
from etastar.core.monitor import REFUSED, Monitor, check_monitors
from etastar.errors import EarlierTraceback, ProblemError, UserCodeRaised
from etastar.policies.policy import Constant, Policy


def quantise(lr: float) -> float:
    """The rate rounded to 0.001 decade (0.23 %), so that equal intentions share a lane.

    >>> quantise(0.1), round(quantise(3e-4), 7)
    (0.1, 0.0002999)
    """
    return 10.0 ** (round(1000 * math.log10(lr)) / 1000)


@dataclass(frozen=True)
class Criterion:
    """When a lane has started to train: over the last `window` batches, each measured before its update,

        mean loss <= bound,  and  mean accuracy >= `accuracy` when one is asked for.

    bound = `loss` if given, else the uninformed loss if `accuracy` is given, else `fraction` x the uninformed loss.

    Args:
        accuracy: threshold accuracy in (0, 1].
        loss: threshold loss, in the loss's own unit.
        uninformed: loss of the best guess that ignores the input (entropy of the labels; best constant for regression);
            None: the lane's own first loss stands for it.
        fraction: used when neither threshold is given.
        window: number of consecutive batches.
    """

    accuracy: float | None = None
    loss: float | None = None
    uninformed: float | None = None
    fraction: float = 0.8
    window: int = 10

    def bound(self, first_loss: float) -> float:
        """The largest mean loss that counts as success, for a lane whose first loss was `first_loss`."""
        if self.loss is not None:
            return self.loss
        uninformed = self.reference(first_loss)
        return uninformed if self.accuracy is not None else self.fraction * uninformed

    def reference(self, first_loss: float) -> float:
        """The loss of knowing nothing."""
        return first_loss if self.uninformed is None else self.uninformed

    def sentence(self) -> str:
        """The criterion in words."""
        over = f"over {self.window} consecutive training batches"
        if self.loss is not None:
            return f"mean loss <= {self.loss:.4g} {over}"
        known = "the lane's first loss" if self.uninformed is None else f"{self.uninformed:.4g} (the uninformed loss)"
        if self.accuracy is not None:
            return f"mean accuracy >= {self.accuracy:.4g} and mean loss <= {known} {over}"
        return f"mean loss <= {self.fraction:.4g} x {known} {over}"


class LaneStatus(StrEnum):
    """How a lane ended: trained, diverged, slow, dead or raised."""

    TRAINED = "trained"
    DIVERGED = "diverged"
    """Non-finite loss, or a loss that ends above where it started."""
    SLOW = "slow"
    """Finite and alive, but short of the threshold when its steps ended."""
    DEAD = "dead"
    """Finite, back at the uninformed loss with (almost) no gradient left: nothing more will happen."""
    RAISED = "raised"
    """The user's forward, loss, backward or optimizer step raised an exception while the loss was still finite."""

    @property
    def broken(self) -> bool:
        """Whether the last loss of such a lane says nothing."""
        return self in (LaneStatus.DIVERGED, LaneStatus.RAISED)


class Until(StrEnum):
    """When a lane stops: at its first success, or after all its steps."""

    SUCCESS = "success"
    """At the first step that meets the criterion (or at divergence, or after its steps)."""
    END = "end"
    """After all its steps, or at divergence: trained means that the criterion holds at the end."""


@dataclass(frozen=True)
class Lane:
    """One training to run. Same seed = same initial weights and data order, whatever the rate.

    Args:
        settings: (name, value) of optimizer settings that this lane has instead of the problem's, e.g.
            (("momentum", 0.8),); see `Setup.change`.
        monitors: what reads it while it trains; as they change nothing, lanes that differ in them alone are equal.

    Raises:
        ProblemError: the rate is not positive, there is no step, or something is no monitor.
    """

    lr: float
    seed: int
    steps: int
    criterion: Criterion = field(default_factory=Criterion)
    until: Until = Until.SUCCESS
    policy: Policy = field(default_factory=Constant)
    settings: tuple[tuple[str, Any], ...] = ()
    monitors: tuple[Monitor, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.lr, (int, float)) or not 0 < self.lr < math.inf:
            raise ProblemError(f"the lane's lr is {shown(self.lr)}; expected a learning rate > 0")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ProblemError(f"the lane's steps is {shown(self.steps)}; expected an integer >= 1")
        check_monitors(self.monitors)

    @property
    def log_lr(self) -> float:
        """log10 of the rate."""
        return math.log10(self.lr)


@dataclass(frozen=True)
class StepRow:
    """One recorded training step: rate, batch loss and accuracy before the update, gradient norm where it was measured."""

    step: int
    lr: float
    loss: float
    accuracy: float | None = None
    grad_norm: float | None = None


@dataclass(frozen=True)
class EpochRow:
    """One pass over the data (or what a lane saw of it): sums and means over steps [step0, step1)."""

    epoch: int
    step0: int
    step1: int
    lr_first: float
    lr_last: float
    lr_sum: float
    lr_sq_sum: float
    loss_mean: float
    loss_sd: float
    accuracy_mean: float | None
    grad_norm_median: float | None
    clipped_fraction: float | None
    non_finite: bool


@dataclass(frozen=True)
class ReadingRow:
    """One number a monitor read after `step` updates, of a block of the model ("" is all of it); `monitor` is its `repr`."""

    step: int
    monitor: str
    block: str
    name: str
    value: float


@dataclass(frozen=True)
class Outcome:
    """What a lane did. Diverged lanes are outcomes like any other.

    Args:
        lane: what was run.
        status: how it ended.
        reached: optimizer steps taken when the criterion was first met; None if never.
        steps: gradient steps from its start, those among them that a loop of the user's own took after it was told to stop.
        first_loss: loss of the first batch, before any update.
        end_loss, end_accuracy: means over the last window of batches seen.
        valid_loss, valid_accuracy: on the validation data, for lanes that ran to their end.
        first_valid_loss: of the seed's model before any update, measured as `valid_loss` is; for `Until.END` only.
        first_train_loss: where there is no validation data: mean over training batches before any update.
        trace: recorded steps, thinned to at most 256 (plus the last).
        epochs: one row per epoch.
        readings: of the lane's monitors, in the order they were made.
        seconds: wall time.
        error: what the user's code raised, in one line, for lanes that ended so; `traceback` is all of it.
        shared: steps among `steps` that were not computed for it: a lane trained before it has the same beginning.
    """

    lane: Lane
    status: LaneStatus
    reached: int | None
    steps: int
    first_loss: float
    end_loss: float
    end_accuracy: float | None = None
    valid_loss: float | None = None
    valid_accuracy: float | None = None
    trace: tuple[StepRow, ...] = ()
    epochs: tuple[EpochRow, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    traceback: str = field(default="", repr=False, compare=False)
    first_valid_loss: float | None = None
    first_train_loss: float | None = None
    readings: tuple[ReadingRow, ...] = ()
    shared: int = field(default=0, compare=False)

    @property
    def spent(self) -> int:
        """Gradient steps that were computed for it."""
        return self.steps - self.shared

    @property
    def trained(self) -> bool:
        """Whether the lane met its criterion."""
        return self.status is LaneStatus.TRAINED

    @property
    def broken(self) -> bool:
        """Whether its last loss says nothing: it diverged, or the user's code raised."""
        return self.status.broken

    @property
    def scored_loss(self) -> float | None:
        """The loss it is scored on: on the validation data where there is any, else over its last training batches.

        None where the lane is broken, or that loss is not finite.
        """
        loss = self.end_loss if self.valid_loss is None else self.valid_loss
        return loss if math.isfinite(loss) and not self.broken else None

    @property
    def start_loss(self) -> float:
        """The same before any update, on the same samples; of the first batch alone where nothing else was measured."""
        known = (self.first_valid_loss, self.first_train_loss)
        return next((loss for loss in known if loss is not None), self.first_loss)

    @property
    def flags(self) -> tuple[str, ...]:
        """Keys of `FLAGS` that an answer resting on this lane carries."""
        undecided = self.status is LaneStatus.SLOW or (self.trained and self.lane.until is Until.END)
        early = undecided and self.steps < self.lane.steps
        late = bool(self.trace) and self.steps > self.trace[-1].step + 1
        refused = any(reading.name == REFUSED for reading in self.readings)
        found = {
            "raised": self.status is LaneStatus.RAISED,
            "loop-ended-early": early,
            "loop-ignores-stop": late,
            "monitor-refused": refused,
        }
        return tuple(flag for flag, holds in found.items() if holds)

    def read_by(self, monitor: Monitor) -> tuple[ReadingRow, ...]:
        """The readings of one of the lane's monitors."""
        return tuple(reading for reading in self.readings if reading.monitor == repr(monitor))

    def require(self) -> Outcome:
        """Itself.

        Raises:
            UserCodeRaised: the user's code raised.
        """
        if self.status is LaneStatus.RAISED:
            raise UserCodeRaised(self.error) from EarlierTraceback(self.traceback)
        return self


class Runs(Sequence[Outcome]):
    """A table of outcomes, in the order they were asked for.

    `pandas.DataFrame(runs.columns())` is the table as a frame.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._outcomes = tuple(outcomes)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Outcome | Runs:
        if isinstance(index, slice):
            return Runs(self._outcomes[index])
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __repr__(self) -> str:
        return f"Runs({len(self)} outcomes, {self.gradient_steps} gradient steps)"

    def __add__(self, other: Iterable[Outcome]) -> Runs:
        return Runs((*self._outcomes, *other))

    @property
    def gradient_steps(self) -> int:
        """Gradient steps spent over all outcomes: what lanes share counts once."""
        return sum(o.spent for o in self._outcomes)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the outcomes say that an answer has to repeat: keys of `FLAGS`."""
        return tuple(dict.fromkeys(flag for o in self._outcomes for flag in o.flags))

    @property
    def raised(self) -> Runs:
        """The lanes that ended because the user's code raised."""
        return Runs(o for o in self._outcomes if o.status is LaneStatus.RAISED)

    def columns(self) -> dict[str, list[Any]]:
        """Column name -> values, one per outcome."""
        rows = self._outcomes
        return {
            "lr": [o.lane.lr for o in rows],
            "seed": [o.lane.seed for o in rows],
            "until": [o.lane.until.value for o in rows],
            "status": [o.status.value for o in rows],
            "reached": [o.reached for o in rows],
            "steps": [o.steps for o in rows],
            "spent": [o.spent for o in rows],
            "first_loss": [o.first_loss for o in rows],
            "first_valid_loss": [o.first_valid_loss for o in rows],
            "first_train_loss": [o.first_train_loss for o in rows],
            "end_loss": [o.end_loss for o in rows],
            "end_accuracy": [o.end_accuracy for o in rows],
            "valid_loss": [o.valid_loss for o in rows],
            "valid_accuracy": [o.valid_accuracy for o in rows],
            "seconds": [o.seconds for o in rows],
            "error": [o.error for o in rows],
        }
