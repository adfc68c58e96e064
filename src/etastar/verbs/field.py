"""`read_field`: the loss as a distribution over examples, followed through a short training at two rates."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from etastar import arguments
from etastar.core.batch import Batch
from etastar.core.groups import default_lr
from etastar.core.kept import undisturbed
from etastar.core.lane import Criterion, Lane, Until
from etastar.core.optimizers import optimizer_name
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import Setup, to
from etastar.core.training import Training
from etastar.engine.loop import LoopEngine
from etastar.errors import DoesNotApply, ProblemError, attributed
from etastar.policies.compose import Then, Times
from etastar.policies.policy import Constant
from etastar.probes.samples import draw, length
from etastar.probes.stability.field import ExampleField, example_field
from etastar.probes.start import starting_point
from etastar.verbs.answer import Answer, Made
from etastar.verbs.options import Options, asked

EXAMPLES = 96
"""Enough to see a distribution; their gradients at one moment take as long as six training steps of as many."""
STEPS = 200
"""Before the fork and after it. A ResNet-18's field had forgotten itself within 10 steps at its rate, and not within 200
at a tenth of it."""
FACTOR = 0.1
"""Of the second rate."""
COUNT = arguments.Whole(2, 10_000, "examples whose gradients are read one by one")
FORGOTTEN = 1 - 1 / math.e
"""Of the level at which moves stay: where an exponential decay has its time."""
STILL = 1.25
"""Moves that have grown by less over the last three quarters of the steps have reached their level."""


@dataclass(frozen=True)
class FieldMoment:
    """The examples after `step` steps at a rate.

    Args:
        step: since the fork.
        moved: mean of |loss - loss at the fork| over examples.
        turned: median cosine of an example's gradient and its gradient at the fork.
        agreement: mean cosine of two examples' gradients.
        losses: of every example.
    """

    step: int
    moved: float
    turned: float
    agreement: float
    losses: tuple[float, ...]

    @classmethod
    def of(cls, step: int, now: ExampleField, since: ExampleField) -> FieldMoment:
        """From the field now, and at the fork."""
        return cls(step, now.moved(since), now.turned(since), now.agreement, tuple(now.losses.tolist()))


@dataclass(frozen=True)
class RateField:
    """What becomes of the examples at one rate.

    Args:
        lr: the rate.
        moments: from the fork on.
    """

    TOLD: ClassVar = ("lr", "memory", "moments")

    lr: float
    moments: tuple[FieldMoment, ...]

    @property
    def memory(self) -> float | None:
        """Steps until examples' losses have moved by 63 % of how far they ever move; None while that still grows.

        >>> moves = {0: 0.0, 1: 0.05, 10: 0.3, 60: 0.4, 200: 0.4}
        >>> moments = tuple(FieldMoment(step, moved, 1.0, 0.0, ()) for step, moved in moves.items())
        >>> round(RateField(0.1, moments).memory, 1), RateField(0.1, moments[:3]).memory
        (8.3, None)
        """
        last = self.moments[-1]
        late = [m.moved for m in self.moments if m.step >= last.step / 4]
        if len(late) < 2 or last.moved > STILL * late[0]:
            return None
        level = FORGOTTEN * sum(late) / len(late)
        for before, after in pairwise(self.moments):
            if after.moved >= level:
                share = (level - before.moved) / (after.moved - before.moved)
                return before.step + share * (after.step - before.step)
        return None


@dataclass(frozen=True, kw_only=True)
class FieldAnswer(Answer):
    """The field of a problem's loss at two rates.

    Args:
        before: steps at the first rate before the fork.
        examples: how many were followed.
        rates: the problem's, and the lower one.
    """

    command = "field"
    TOLD = ("before", "examples", "rates")

    before: int
    examples: int
    rates: tuple[RateField, ...]

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        return "; ".join(map(self._said, self.rates))

    def _said(self, own: RateField) -> str:
        last = own.moments[-1]
        memory = (
            f"forgets itself in about {own.memory:.3g} steps"
            if own.memory is not None
            else f"still moves away from itself after {last.step:,} steps"
        )
        return f"at {own.lr:.3g} the field {memory} (losses moved by {last.moved:.2g}, gradients' cosine {last.turned:.2f})"


@attributed
def read_field(
    problem: Problem,
    *,
    seed: int | None = None,
    examples: int = EXAMPLES,
    steps: int = STEPS,
    factor: float = FACTOR,
    device: str = "auto",
) -> FieldAnswer:
    """Train `steps` steps, fork, go on at the rate and at `factor` of it, and follow every example's loss and gradient.

    Args:
        problem: what to train; the caller's objects and random state are as before.
        seed: None: the problem's own.
        examples: of the training data, the first ones.
        steps: before the fork, and after it.
        factor: second rate over the first.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ProblemError: the problem or an argument cannot be used, or the training diverges.
    """
    started = time.monotonic()
    seed, options = asked(problem, seed, Options(device=device))
    COUNT("examples", examples)
    arguments.STEPS("steps", steps)
    arguments.FACTOR("factor", factor)
    if problem.is_loop:
        raise ProblemError("a training loop of your own has no examples to follow; make a Problem of model, loss and data")
    own = derive_seed(seed, "field")
    moments = sorted({m for m in (1, 3, 10, 30, 100, 300, 1000, 3000) if m < steps} | {steps})
    with undisturbed(problem):
        optimizer = starting_point(problem, seed, samples=examples, device=options.device).optimizer
        rates = default_lr(optimizer), default_lr(optimizer) * factor
        trunk = Lane(rates[0], own, steps + moments[-1] + 1, Criterion(loss=-math.inf), Until.END, Constant())
        arms = [replace(trunk, policy=Then(Constant(), steps, Times(Constant(), share))) for share in (1.0, factor)]
        batch = to(draw(problem.parts.batches, own, examples), options.device)
        with LoopEngine(options.device).start(problem, [trunk]) as training:
            _advance(training, steps)
            training.take([0, 0], arms)
            first = _field(problem, training.setup(0), batch)
            rows = [[FieldMoment.of(0, first, first)] for _ in arms]
            for moment in moments:
                _advance(training, steps + moment - training.step)
                for row, read in enumerate(rows):
                    read.append(FieldMoment.of(moment, _field(problem, training.setup(row), batch), first))
    looked = (length(batch) or 0) * (1 + 2 * len(moments))
    cost = {"gradient_steps": steps + 2 * moments[-1], "look_steps": looked, "seconds": time.monotonic() - started}
    return FieldAnswer(
        problem=problem.title,
        before=steps,
        examples=length(batch) or 0,
        rates=tuple(RateField(lr, tuple(read)) for lr, read in zip(rates, rows, strict=True)),
        made=Made(seed=seed, optimizer=optimizer_name(optimizer), cost=cost),
    )


def _advance(training: Training, steps: int) -> None:
    for row, outcome in training.advance(steps):
        raise ProblemError(
            f"the training at {training.lanes[row].lr:.3g} ended after {outcome.steps:,} steps ({outcome.status.value}); "
            "expected a rate that trains: set the optimizer's, or pass --optimizer"
        )


def _field(problem: Problem, setup: Setup, batch: Batch) -> ExampleField:
    try:
        return example_field(setup.model, batch, loss=problem.loss, loss_fn=problem.loss_fn)
    except DoesNotApply as why:
        raise ProblemError(f"no field: {why}; expected (inputs, targets) with a row an example") from why
