"""Whether an engine gives the loop's numbers: exactly in float64, at a late step, and in the model's own type."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import torch

from etastar.core.batch import tensors_in
from etastar.core.data import Batches
from etastar.core.deadline import TimeOver
from etastar.core.lane import Criterion, Lane, Outcome, StepRow, Until
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.engine.lanes.engine import KERNELS, LaneEngine
from etastar.engine.loop import LoopEngine
from etastar.engine.sequential import SequentialEngine
from etastar.errors import DoesNotApply, ProblemError, in_one_line

Found = TypeVar("Found")
FLOAT64_TOLERANCE, OWN_TYPE_TOLERANCE = 1e-10, 1e-3
TRIAL_RATES = (1e-3, 3e-3)
TRIAL_STEPS = 3
LATE_SHARE, LATEST, LATE_TOLERANCE = 0.02, 64, 0.01
"""One lane goes on for this share of the planned steps, at most so many; rounding errors have grown by then."""
WILD = 10
STILL = 1e-30
"""A rate at which nothing moves."""
SEEN, HALFWAY = 100, 0.1
"""The loss has moved enough to be compared when it moved by so many roundings of its type, or by this share of itself."""
APART = 0.25
"""Share of the loop's movement by which an engine's may differ from it: rounding in half precision stays below it."""


class Equality:
    """The loop's outcomes of a few short lanes, and other engines' against them.

    Args:
        problem: with validation data small enough for a trial.
        criterion: of its lanes.
        device: where they train.
        lr: the rate in use, at which the model moves in its own type.
        eps: of that type.
    """

    def __init__(self, problem: Problem, criterion: Criterion, device: str, lr: float, eps: float) -> None:
        self._problem, self._device, self._lr, self._eps = problem, device, lr, eps
        self._criterion = replace(criterion, loss=-math.inf)
        self._bare = problem.but(valid=None)
        self._own: dict[float, list[float]] = {}
        """rate -> the loop's losses in the model's own type."""
        try:
            self._dtype, self._early = torch.float64, self._train("loop", torch.float64, self._lanes()[:1])
            if not all(outcome.trace for outcome in self._early):
                raise ProblemError("it does not train in float64")
        except ProblemError:  # the model insists on its own type
            self._dtype, self._early = None, self._train("loop", None, self._lanes()[:1])

    def why_not(self, engine: str) -> str | None:
        """None if the engine's losses, accuracies, validation and movement equal the loop's; else a reason."""
        return refusal(lambda: self._compared(engine))

    def _compared(self, engine: str) -> str | None:
        tolerance = FLOAT64_TOLERANCE if self._dtype else OWN_TYPE_TOLERANCE
        # what runs the user's code at every step, as the loop does, is not frozen at the first: it needs no late look
        truth = self._early + self._late if engine in KERNELS else self._early
        found = self._train(engine, self._dtype, [outcome.lane for outcome in truth])
        early, late = (max(each) for each in zip(*map(differences, truth, found), strict=True))
        if early > tolerance:
            return f"its losses differ from the loop's by {early:.1g}, more than rounding explains"
        if late > LATE_TOLERANCE:
            return f"its losses differ from the loop's by {late:.1g} in later steps, more than rounding explains"
        return self._why_not_in_its_own_type(engine) if self._dtype else None

    @cached_property
    def _late(self) -> list[Outcome]:
        """The loop's outcome of the lane that goes on: only kernels are held against it."""
        return self._train("loop", self._dtype, self._lanes()[1:])

    def _why_not_in_its_own_type(self, engine: str) -> str | None:
        """Half-precision kernels differ from those of float64: what must agree is how far the losses move."""
        for factor in (1, 10, 100):
            lr = factor * self._lr
            if lr not in self._own:
                self._own[lr] = self._losses("loop", [lr])[0]
            truth = self._own[lr]
            still, moved = self._losses(engine, [STILL, lr])
            moves = [abs(b - a) for a, b in zip(still, truth, strict=False)]
            if not all(map(math.isfinite, moves)):
                return None
            if max(moves) > min(SEEN * self._eps, HALFWAY) * max(map(abs, truth)):
                apart = max(abs(b - a) for a, b in zip(truth, moved, strict=False)) / max(moves)
                return None if apart <= APART else "in the model's own type its losses move otherwise than the loop's"
        return None

    def _losses(self, engine: str, rates: list[float]) -> list[list[float]]:
        """Of the first steps of one lane per rate, in the model's own type."""
        lanes = [self._lane(lr, 0, TRIAL_STEPS) for lr in rates]
        return [[row.loss for row in outcome.trace] for outcome in self._train(engine, None, lanes, self._bare)]

    def _lanes(self) -> list[Lane]:
        late = min(LATEST, max(TRIAL_STEPS, int(LATE_SHARE * self._problem.steps)))
        steps = (TRIAL_STEPS, late)
        policy = self._problem.policy
        return [replace(self._lane(lr, i, steps[i]), policy=policy) for i, lr in enumerate(TRIAL_RATES)]

    def _lane(self, lr: float, index: int, steps: int) -> Lane:
        return Lane(lr, derive_seed(0, "trial", index), steps, self._criterion, Until.END)

    def _train(
        self, engine: str, dtype: torch.dtype | None, lanes: Sequence[Lane], problem: Problem | None = None
    ) -> list[Outcome]:
        problem = problem or self._problem
        if engine in KERNELS:
            return LaneEngine(engine, len(lanes), self._device, dtype).try_train(problem, lanes)
        one = (LoopEngine if engine == "loop" else SequentialEngine)(self._device, dtype)
        return [one.train_lane(problem, lane) for lane in lanes]


def refusal(attempt: Callable[[], Found]) -> Found | str:
    """What `attempt` finds; or how an engine fails at it, which is a reason against the engine."""
    try:
        return attempt()
    except TimeOver:
        raise
    except DoesNotApply as error:
        return str(error)
    except Exception as error:  # the user's code, run in a way it was not written for, may raise anything
        return f"it fails where the loop does not ({in_one_line(error)})"


def differences(a: Outcome, b: Outcome) -> tuple[float, float]:
    """Largest relative differences of two outcomes of the same lane, in its first steps and later: losses, accuracies,
    gradient norms, validation. Later steps count as long as the loss is not beyond `WILD` times its start.
    """
    if len(a.trace) != len(b.trace):
        return 0.0, math.inf
    rows = list(zip(a.trace, b.trace, strict=True))
    ends = [(a.valid_loss, b.valid_loss), (a.valid_accuracy, b.valid_accuracy)]
    early = [pair for x, y in rows[:TRIAL_STEPS] for pair in _numbers(x, y)]
    late = [pair for x, y in rows[TRIAL_STEPS:] if abs(x.loss) < WILD * abs(a.first_loss) for pair in _numbers(x, y)]
    return (_largest([*early, *ends]), 0.0) if len(rows) <= TRIAL_STEPS else (_largest(early), _largest([*late, *ends]))


def _numbers(x: StepRow, y: StepRow) -> list[tuple[float | None, float | None]]:
    return [(x.loss, y.loss), (x.accuracy, y.accuracy), (x.grad_norm, y.grad_norm)]


def _largest(pairs: Sequence[tuple[float | None, float | None]]) -> float:
    worst = 0.0
    for x, y in pairs:
        if x is None and y is None:
            continue
        if x is None or y is None:
            return math.inf
        apart = 0.0 if x == y else abs(x - y) / max(abs(x), abs(y))
        worst = math.inf if apart != apart else max(worst, apart)
    return worst


def small_valid(valid: Batches) -> Any:
    """One batch of the validation data where it is plain tensors: enough to compare eval mode."""
    batch = next(iter(valid.epoch(0, 0, shuffle=False)))
    tensors = tensors_in(batch)
    return batch if tensors and isinstance(batch, (tuple, list, dict)) and _alike(tensors) else None


def _alike(tensors: Sequence[torch.Tensor]) -> bool:
    return all(t.dim() > 0 for t in tensors) and len({len(t) for t in tensors}) == 1
