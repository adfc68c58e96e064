"""What a lane is scored on, before training and after: the validation data, every sample once, or one part for all lanes.

A lane's loss at initialisation is measured as its loss at the end is, so that their ratio says what was learned. Without
validation data the end is a mean over training batches, and so is the start, over enough samples that one lucky batch does
not decide.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
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
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.core.reduction import OTHER, SUM, declared_reduction, reduction_of
from etastar.core.setup import set_up, to
from etastar.engine.reading import next_batch
from etastar.engine.signals import keys_of
from etastar.errors import ProblemError, call

ENOUGH, SHARE = 2_000, 0.1
"""Samples a lane is validated on at most: so many, or this share of those it trains on, whichever is more."""
GRACE = 0.05
"""Share of the time limit by which scoring a lane that has ended may be late: without its score it is lost whole."""
FIRST_SAMPLES = 512
"""Training samples over which the loss at initialisation is averaged where there is no validation data."""
FORWARD = 1 / 3
"""Cost of a forward pass in gradient steps: the backward pass is twice as dear."""
SHARPNESS_LOOK, CURVATURE_LOOK = 12.0, 3.0
"""Gradient steps that a look of a policy takes: measured 10.6 to 15.0 (seven to eight products) and 2.7 to 3.4, on three
networks of digits."""

Scores = tuple[torch.Tensor, torch.Tensor | None]
Read = tuple[Batch, int]


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
            seen += samples_in(batch) or _per_batch(problem)
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


def validation_scores(problem: Problem, model: nn.Module, batch: Batch, what: str = "valid") -> Scores:
    """Loss and accuracy of one model on one batch of the validation data, or of `watch`."""
    loss, share = call(f"the loss on {what}", without_graph, loss_and_accuracy, problem, model, batch)
    return loss.detach().reshape(()), share


def mean_scores(
    problem: Problem, lane: Lane, evaluate: Callable[[Batch], Scores], *, summed: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Loss and accuracy on the validation data; see `mean_over`. Both are None without validation data."""
    if problem.valid_batches is None:
        return None, None
    with closing(problem.valid_batches.some(samples_for(problem, lane))) as batches:
        return mean_over(problem, batches, evaluate, summed=summed)


def watched_loss(problem: Problem, evaluate: Callable[[Batch], Scores], *, summed: bool) -> torch.Tensor:
    """The loss on `watch`, every sample once, as it is on the validation data; [] or [K]."""
    if (data := problem.watch_batches) is None:
        raise ProblemError("nobody can see valid_loss: the problem has no data for it; expected watch=...")
    with isolated_randomness(), torch.no_grad(), closing(data.some(sys.maxsize)) as batches:
        loss, _ = mean_over(problem, batches, evaluate, summed=summed)
    if loss is None:
        raise ProblemError("watch gave no batch; expected at least one sample")
    return loss


def mean_over(
    problem: Problem, batches: Iterator[Read], evaluate: Callable[[Batch], Scores], *, summed: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Loss and accuracy: means over all samples, in the unit of a training batch's loss; None where there is no batch.

    A loss that is the mean over a batch is weighted by the batch's samples; one that is their sum is added up and scaled to
    the size of a training batch.

    Args:
        evaluate: (batch) -> loss and accuracy in eval mode, of one lane or of several at once.
        summed: whether the loss is a sum over samples.
    """
    losses: list[torch.Tensor] = []
    shares: list[torch.Tensor] = []
    sizes: list[int] = []
    for batch, size in _steadily(batches):
        loss, share = evaluate(batch)
        sizes.append(size)
        losses.append(loss.detach().double())
        if share is not None:
            shares.append(torch.as_tensor(share).double())
    if not sizes:
        return None, None
    total = sum(sizes)
    weigh = lambda values: torch.stack([size * v for size, v in zip(sizes, values, strict=True)]).sum(0) / total
    per_batch = problem.parts.batches.batch_size
    loss = torch.stack(losses).sum(0) * (per_batch or max(sizes)) / total if summed else weigh(losses)
    return loss, weigh(shares) if len(shares) == len(sizes) else None


def _steadily(batches: Iterator[Read]) -> Iterator[Read]:
    """The same; what is drawn while a batch is read or evaluated depends on its place alone, not on who trained before."""
    for number in itertools.count():
        check_time(GRACE)
        seed_everything(derive_seed(0, "valid", number))
        if (read := next(batches, None)) is None:
            return
        yield read


def samples_for(problem: Problem, lane: Lane) -> int:
    """Validation samples the lane is scored on at most; shorter lanes see a part of what longer ones do.

    max(2,000, 10 % of the samples it trains on), so that scoring never costs more than a thirtieth of a long lane.
    """
    return max(ENOUGH, round(SHARE * lane.steps * _per_step(problem)))


def on_a_part(problem: Problem, lane: Lane) -> bool:
    """Whether there is more validation data than the lane is scored on."""
    return problem.valid_batches is not None and problem.valid_batches.holds_more_than(samples_for(problem, lane))


def scoring_steps(problem: Problem, lane: Lane) -> float:
    """What scoring a lane takes at its end, in gradient steps."""
    if problem.is_loop or problem.valid_batches is None:
        return 0.0
    return FORWARD * min(samples_for(problem, lane), problem.valid_batches.size or math.inf) / _per_step(problem)


def cost_of(problem: Problem, outcomes: Iterable[Outcome]) -> float:
    """What these lanes took beside their training, in gradient steps: `scoring_of` and `looks_of`."""
    lanes = list(outcomes)
    return scoring_of(problem, lanes) + looks_of(lanes)


def looks_of(outcomes: Iterable[Outcome]) -> float:
    """What policies saw of second derivatives, in gradient steps."""
    return sum(price * -(-o.spent // every) for o in outcomes for every, price in _looks_at_hessian(o.lane))


def scoring_of(problem: Problem, outcomes: Iterable[Outcome]) -> float:
    """Forward passes, in gradient steps: a validation for each lane, one for each seed before training, and what policies
    saw of `watch`."""
    if problem.is_loop:
        return 0.0
    samples = 0
    seeds: dict[tuple[int, int], int] = {}
    for outcome in outcomes:
        lane, size = outcome.lane, FIRST_SAMPLES
        if problem.valid_batches is not None:
            size = min(samples_for(problem, lane), problem.valid_batches.size or math.inf)
        if outcome.valid_loss is not None:
            samples += int(size)
        samples += _watched(problem) * sum(-(-outcome.spent // every) for every in _looks_at(lane, "valid_loss"))
        if outcome.first_valid_loss is not None or outcome.first_train_loss is not None:
            seeds[lane.seed, int(size)] = int(size)
    return FORWARD * (samples + sum(seeds.values())) / _per_step(problem)


def _watched(problem: Problem) -> int:
    """Samples of `watch`."""
    batches = problem.watch_batches
    return 0 if batches is None else batches.size or (batches.per_epoch or 0) * (batches.batch_size or 1)


def _looks_at(lane: Lane, signal: str) -> list[int]:
    """Steps between two looks at a signal; several parts of one policy share the looks they have in common."""
    own = [every for name, every in keys_of(lane.policy) if name == signal]
    return [every for every in own if not any(other < every and every % other == 0 for other in own)]


def _looks_at_hessian(lane: Lane) -> list[tuple[int, float]]:
    """(steps between two looks, price of a look); every cadence of the sharpness has an eigenvector of its own."""
    tops = [(every, SHARPNESS_LOOK) for name, every in keys_of(lane.policy) if name == "sharpness"]
    return tops + [(every, CURVATURE_LOOK) for every in _looks_at(lane, "curvature")]


def _per_batch(problem: Problem) -> int:
    return problem.parts.batches.batch_size or 1


def _per_step(problem: Problem) -> int:
    return _per_batch(problem) * problem.accumulate
