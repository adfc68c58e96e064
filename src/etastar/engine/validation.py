"""What a lane is scored on: the validation data, every sample once, or one part for all lanes."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

import torch
from torch import nn

from etastar.core.batch import Batch
from etastar.core.deadline import check_time
from etastar.core.lane import Lane
from etastar.core.objective import loss_and_accuracy, without_graph
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.errors import ProblemError, call

ENOUGH, SHARE = 2_000, 0.1
"""Samples a lane is validated on at most: so many, or this share of those it trains on, whichever is more."""
GRACE = 0.05
"""Share of the time limit by which scoring a lane that has ended may be late: without its score it is lost whole."""
Scores = tuple[torch.Tensor, torch.Tensor | None]
Read = tuple[Batch, int]


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
    return max(ENOUGH, round(SHARE * lane.steps * samples_a_step(problem)))


def on_a_part(problem: Problem, lane: Lane) -> bool:
    """Whether there is more validation data than the lane is scored on."""
    return problem.valid_batches is not None and problem.valid_batches.holds_more_than(samples_for(problem, lane))


def samples_a_batch(problem: Problem) -> int:
    """Of training data."""
    return problem.parts.batches.batch_size or 1


def samples_a_step(problem: Problem) -> int:
    """Of training data, between two updates."""
    return samples_a_batch(problem) * problem.accumulate
