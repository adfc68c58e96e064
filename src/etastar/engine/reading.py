"""How every engine reads its next batch."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from etastar.core.batch import Batch
from etastar.core.data import Batches, stream, stream_from
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import call


def opened(problem: Problem, seed: int, step: int = 0) -> tuple[Generator[Batch], Batch]:
    """The stream of a lane that has taken `step` steps, and its next batch, read."""
    number = problem.before + step
    batches = batches_from(problem.parts.batches, seed, number, problem.accumulate)
    return batches, next_batch(batches, seed, number)


def next_batch(batches: Iterator[Batch], seed: int, step: int, part: int = 0) -> Batch:
    """The next batch; random transforms in it draw from (seed, step, part) alone."""
    seed_everything(derive_seed(seed, "batch", step, part))
    return call("reading a training batch", next, batches)


def batches_from(batches: Batches, seed: int, step: int, parts: int = 1) -> Generator[Batch]:
    """The stream of `seed` from optimizer step `step` on; what cannot be skipped is read again."""
    if (there := stream_from(batches, seed, step * parts)) is not None:
        return there
    again = stream(batches, seed)
    for number in range(step * parts):
        next_batch(again, seed, *divmod(number, parts))
    return again
