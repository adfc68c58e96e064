"""A training loop of the user's own: what it is given, what it reports, and what is made of its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from etastar.core.deadline import TimeOver, deadline
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.engine.asking import asked
from etastar.engine.recorder import Recorder
from etastar.engine.signals import Signals, keys_of
from etastar.errors import ProblemError, UserCodeRaised, call
from etastar.policies.compose import groups_named

REPORTED = ("loss", "smoothed_loss", "accuracy", "grad_norm")
"""Signals that a loop's reports hold."""
SEEDS = 2**32
"""Seeds given to a loop lie below this: those of numpy, Lightning and Transformers take no more bits."""


class LaneReport:
    """The `Report` of one lane: the recorder in the user's own words, and the policy over the lane's steps.

    The policy is asked once for each step. A loop whose first look at `lr` comes before any report takes the rate of the
    coming step, which is decided by the reports until then; one whose first look comes after a report takes the rate of
    the step just reported, decided by that report, too.

    Attributes:
        asked: whether the loop has read its length or its rate, so that a schedule can have the lane's length.
        cut: whether it was told to stop before its end, because time is over.
    """

    def __init__(self, lane: Lane) -> None:
        self.asked = self.cut = False
        self._lane, self._recorder = lane, Recorder(lane)
        self._keys = keys_of(lane.policy)
        if unknown := [name for name, _ in self._keys if name not in REPORTED]:
            raise ProblemError(
                f"{lane.policy!r} reads {unknown[0]}, which a training loop of your own does not report; expected a policy "
                f"that reads {', '.join(REPORTED)}"
            )
        if groups_named(lane.policy):
            raise self._one_rate()
        nothing = lambda: torch.tensor([])
        self._signals = Signals(self._keys, nothing, nothing)
        self._state = lane.policy.init(torch.tensor(lane.lr, dtype=torch.float64))
        self._rate = lane.lr
        self._decided = 0
        """Steps that the policy was asked for."""
        self._taken: float | None = None
        """The rate that the loop took last."""
        self._ahead = False
        """Whether the loop takes the rate of a step before it reports it."""
        self._said = False
        """Whether the last report named its rate itself."""
        self._last: tuple[float | None, float | None, float | None] = (None, None, None)
        """Loss, accuracy and gradient's norm as reported last."""
        self._valid: tuple[float | None, float | None] = (None, None)

    @property
    def steps(self) -> int:
        """Optimizer steps of this lane."""
        self.asked = True
        return self._lane.steps

    @property
    def lr(self) -> float:
        """The rate of the coming step; where it is first read after a report, that of the step just reported."""
        if self._taken is None:
            self._ahead = self._recorder.step == 0
        self.asked = True
        self._decide()
        self._taken = self._rate
        if not self._ahead and not self._said:
            self._recorder.used(self._rate)
        return self._rate

    def __call__(self, loss: Any, accuracy: Any = None, grad_norm: Any = None, lr: Any = None) -> bool:
        """See `Report`."""
        used = self._taken if lr is None else _number(lr)
        seen, share, norm = _number(loss), _share(accuracy), _optional(grad_norm)
        if self._recorder.done:
            return self._recorder.report(seen)
        self._decide()  # the step before, of which the loop has not read the rate
        self._last, self._said = (seen, share, norm), lr is not None
        if self.cut:
            raise TimeOver  # it was told to stop at the step before
        if norm is None and self._signals.reads("grad_norm"):
            raise ProblemError(f"{self._lane.policy!r} reads grad_norm; expected report(..., grad_norm=...) at every step")
        goes_on = self._recorder.report(seen, share, norm, used)
        self.cut = goes_on and deadline().over
        return goes_on and not self.cut

    def valid(self, loss: Any, accuracy: Any = None) -> None:
        """See `Report`."""
        self._valid = _number(loss), _share(accuracy)

    def raised(self, error: UserCodeRaised) -> None:
        """The loop raised. After its end, of which it was told, that is one way to stop; after NaN it belongs to that."""
        if not self._recorder.done:
            self._recorder.raised(error)

    def outcome(self) -> Outcome:
        """The lane's record.

        Raises:
            ProblemError: nothing was reported.
        """
        history = self._recorder.history
        if not history.losses and history.error is None:
            raise ProblemError("your training loop returned without a report(loss=...); call it once per optimizer step")
        if history.status.broken or self._lane.until is not Until.END:
            return self._recorder.outcome()
        return self._recorder.outcome(valid_loss=self._valid[0], valid_accuracy=self._valid[1])

    def _decide(self) -> None:
        """Ask the policy for the step that is due, if it was not asked yet."""
        step, policy = self._decided, self._lane.policy
        if step >= self._recorder.step + (self._ahead and not self._recorder.done):
            return
        number = lambda x: None if x is None else torch.tensor(x, dtype=torch.float64)
        known = self._signals.look(step, *map(number, self._last))
        rate, self._state = asked(policy, step, known, self._signals.missing, self._state, None)
        if isinstance(rate, Mapping):
            raise self._one_rate()
        self._rate = float(rate)
        self._decided += 1

    def _one_rate(self) -> ProblemError:
        return ProblemError(
            f"{self._lane.policy!r} gives groups rates of their own; a training loop of your own takes one rate"
        )


def follow(problem: Problem, lane: Lane) -> tuple[Outcome, bool]:
    """Let the user's own loop train one lane: (what it did, whether it asked for its length or its rate)."""
    train = problem.users_loop.train
    if lane.monitors:
        raise ProblemError("monitors cannot look into a training loop of your own; drop them, or make a Problem of parts")
    if lane.settings:
        raise ProblemError(f"a training loop of your own has no optimizer whose {lane.settings[0][0]} could be changed")
    report = LaneReport(lane)
    seed_everything(derive_seed(lane.seed, "loop"))
    try:
        call("your training loop", train, lane.lr, derive_seed(lane.seed, "loop") % SEEDS, report)
    except UserCodeRaised as error:
        report.raised(error)
    if report.cut:
        raise TimeOver
    return report.outcome(), report.asked


def _share(accuracy: Any) -> float | None:
    value = _optional(accuracy)
    if value is not None and not (0 <= value <= 1 or math.isnan(value)):
        raise ProblemError(f"report() got accuracy={value:g}; expected a share in [0, 1]: divide percents by 100")
    return value


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise ProblemError(f"report() got a {type(value).__name__}; expected a number or a scalar tensor") from None
