"""A lane's loss before training, measured as its loss at the end is, so that their ratio says what was learned.

Without validation data the end is a mean over training batches, and so is the start, over enough samples that one lucky
batch does not decide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from etastar.core.batch import Batch, map_tensors, samples_in
from etastar.core.data import stream
from etastar.core.deadline import check_time
from etastar.core.finite_loss import check_batch
from etastar.core.kept import undisturbed
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy, without_graph
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.reduction import OTHER, SUM, declared_reduction, reduction_of
from etastar.core.setup import set_up, to
from etastar.engine.reading import next_batch
from etastar.engine.validation import GRACE, mean_scores, samples_a_batch, samples_for, validation_scores
from etastar.errors import ProblemError, call

FIRST_SAMPLES = 512
"""Training samples over which the loss at initialisation is averaged where there is no validation data."""


@dataclass(frozen=True)
class First:
    """A seed's loss before any update: on the validation data, or on training batches where there is none."""

    valid_loss: float | None = None
    train_loss: float | None = None

    def beside(self, outcome: Outcome) -> Outcome:
        """The outcome of a lane of this seed, with it."""
        return replace(outcome, first_valid_loss=self.valid_loss, first_train_loss=self.train_loss)


class FirstLosses:
    """The losses at initialisation of one problem at a time, evaluated once a seed.

    On a model of its own: a lane's model that had been looked at would not be the one an ordinary loop trains.
    """

    def __init__(self, device: str, dtype: torch.dtype | None) -> None:
        self._device, self._dtype = device, dtype
        self._problem: Problem | None = None
        self._known: dict[tuple[int, int], First] = {}
        self._summed: bool | None = None

    def of(self, problem: Problem, lane: Lane) -> First:
        """That of the lane's seed; nothing for a lane that may stop at its first success, or a loop of the user's.

        Raises:
            ProblemError: it is not finite.
        """
        if lane.until is not Until.END or problem.is_loop:
            return First()
        self._turn_to(problem)
        key = (lane.seed, 0 if problem.valid_batches is None else samples_for(problem, lane))
        if key not in self._known:
            with undisturbed(problem), steady_numerics():
                self._known[key] = self._measure(problem, lane)
        return self._known[key]

    def summed(self, problem: Problem) -> bool:
        """Whether the problem's loss is a sum over samples: that of a batch is that of its halves together."""
        if problem.valid_batches is problem.watch_batches is None:
            return False  # nobody asks
        self._turn_to(problem)
        if self._summed is None:
            self._summed = (declared_reduction(problem.loss) or self._seen_reduction(problem)) == SUM
        return self._summed

    def _turn_to(self, problem: Problem) -> None:
        if self._problem is not problem:
            self._problem, self._known, self._summed = problem, {}, None

    @contextmanager
    def _start(self, problem: Problem, seed: int) -> Iterator[tuple[nn.Module, Batch, Iterator[Batch]]]:
        """A model before its training, its first batch and those that follow."""
        with closing(stream(problem.parts.batches, seed)) as batches:
            first = next_batch(batches, seed, 0)
            setup = set_up(problem, seed, device=self._device, dtype=self._dtype, example=first)
            yield setup.model, to(first, self._device, self._dtype), batches

    def _measure(self, problem: Problem, lane: Lane) -> First:
        with self._start(problem, lane.seed) as (model, first, batches):
            if problem.valid_batches is None:
                return First(train_loss=self._training_loss(problem, model, lane.seed, first, batches))
        model.eval()
        evaluate = lambda batch: validation_scores(problem, model, to(batch, self._device, self._dtype))
        with torch.no_grad():
            loss, _ = mean_scores(problem, lane, evaluate, summed=self.summed(problem))
        if loss is not None and not math.isfinite(float(loss)):
            raise ProblemError(
                f"the validation loss at initialisation is {float(loss)}; expected a finite number: check valid and loss"
            )
        return First(valid_loss=None if loss is None else float(loss))

    def _seen_reduction(self, problem: Problem) -> str:
        """How the loss of a batch is made of those of its halves."""
        seed = derive_seed(0, "reduction")
        with undisturbed(problem), steady_numerics(), self._start(problem, seed) as (model, batch, _):
            size = samples_in(batch) or 0
            if size < 2:
                return OTHER
            middle = size // 2
            keep_only = lambda keep: map_tensors(lambda t: t[keep] if t.dim() else t, batch)
            loss = lambda some: float(without_graph(loss_and_accuracy, problem, model, some)[0].detach())
            parts = (batch, keep_only(slice(middle)), keep_only(slice(middle, None)))
            try:
                whole, a, b = map(loss, parts)
            except Exception:  # halves are no batches here; what is wrong with whole ones is said where they are read
                return OTHER
        return reduction_of(whole, [(a, middle), (b, size - middle)])

    def _training_loss(self, problem: Problem, model: nn.Module, seed: int, first: Batch, batches: Iterator[Batch]) -> float:
        """Mean over the first batches of the stream, as training sees them, `FIRST_SAMPLES` samples or more."""
        losses: list[float] = []
        batch, seen = first, 0
        while True:
            check_time(GRACE)
            seed_everything(derive_seed(seed, "mask", len(losses), 0))
            loss, _ = call("the loss", loss_and_accuracy, problem, model, batch)
            if not math.isfinite(float(loss.detach())):
                self._refuse(problem, batch, float(loss.detach()), len(losses) // problem.accumulate)
            losses.append(float(loss.detach()))
            seen += samples_in(batch) or samples_a_batch(problem)
            if seen >= FIRST_SAMPLES:
                return sum(losses) / len(losses)
            batch = to(next_batch(batches, seed, len(losses)), self._device, self._dtype)

    def _refuse(self, problem: Problem, batch: Batch, loss: float, step: int) -> None:
        """Say why a training batch has no finite loss before any update: no lane could train on it."""
        check_batch(problem, batch, f"a training batch (step {step})", self._device, self._dtype)
        raise ProblemError(
            f"the loss of a training batch (step {step}) at initialisation is {loss}; expected a finite number: check train "
            "and loss"
        )
