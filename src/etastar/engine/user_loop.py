"""A training loop of the user's own: what it is given, what it reports, and what is made of its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from etastar.core.lane import Lane, Outcome, Until
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.engine.recorder import Recorder
from etastar.engine.signals import Signals, checked_rates, keys_of
from etastar.errors import ProblemError, UserCodeRaised, call
from etastar.policies.policy import Observation

REPORTED = ("loss", "smoothed_loss", "accuracy", "grad_norm")
"""Signals that a loop's reports hold; a policy sees those of the step before."""
SEEDS = 2**32
"""Seeds given to a loop lie below this: those of numpy, Lightning and Transformers take no more bits."""


class LaneReport:
    """The `Report` of one lane: the recorder in the user's own words, and the schedule over the lane's steps.

    Attributes:
        asked: whether the loop has read its length or its rate, so that a schedule can have the lane's length.
    """

    def __init__(self, lane: Lane) -> None:
        self.asked = False
        self._lane, self._recorder = lane, Recorder(lane)
        self._keys = keys_of(lane.policy)
        if unknown := [name for name, _ in self._keys if name not in REPORTED]:
            raise ProblemError(
                f"{lane.policy!r} reads {unknown[0]}, which a training loop of your own does not report; expected a policy "
                f"that reads {', '.join(REPORTED)}"
            )
        nothing = lambda: torch.tensor([])
        self._signals = Signals(self._keys, nothing, nothing)
        self._state = lane.policy.init(torch.tensor(lane.lr, dtype=torch.float64))
        self._rate, self._reads_rate = lane.lr, False
        self._valid: tuple[float | None, float | None] = (None, None)
        self._advance(None, None, None)

    @property
    def steps(self) -> int:
        """Optimizer steps of this lane."""
        self.asked = True
        return self._lane.steps

    @property
    def lr(self) -> float:
        """The rate of the next step that has not been reported."""
        self.asked = self._reads_rate = True
        return self._rate

    def __call__(self, loss: Any, accuracy: Any = None, grad_norm: Any = None, lr: Any = None) -> bool:
        """See `Report`."""
        used = self._rate if lr is None and self._reads_rate else _optional(lr)
        seen, share, norm = _number(loss), _share(accuracy), _optional(grad_norm)
        go_on = self._recorder.report(seen, share, norm, used)
        if go_on:
            self._advance(seen, share, norm)
        return go_on

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

    def _advance(self, loss: float | None, accuracy: float | None, grad_norm: float | None) -> None:
        """The rate of the next step, from what was reported of the last."""
        number = lambda x: torch.tensor(math.nan if x is None else x, dtype=torch.float64)
        step, policy = self._recorder.step, self._lane.policy
        known = self._signals.look(step, None if loss is None else number(loss), number(accuracy), number(grad_norm))
        seen = {name: known[name, every] for name, every in self._keys}
        rate, self._state = policy.step(Observation(step, seen), self._state)
        if isinstance(rate, Mapping):
            raise ProblemError(f"{policy!r} gives groups rates of their own; a training loop of your own takes one rate")
        self._rate = float(checked_rates(policy, rate, seen.values(), None))


def follow(problem: Problem, lane: Lane) -> tuple[Outcome, bool]:
    """Let the user's own loop train one lane: (what it did, whether it asked for its length or its rate)."""
    assert problem.loop is not None
    if lane.settings:
        raise ProblemError(f"a training loop of your own has no optimizer whose {lane.settings[0][0]} could be changed")
    report = LaneReport(lane)
    seed_everything(derive_seed(lane.seed, "loop"))
    try:
        call("your training loop", problem.loop, lane.lr, derive_seed(lane.seed, "loop") % SEEDS, report)
    except UserCodeRaised as error:
        report.raised(error)
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
