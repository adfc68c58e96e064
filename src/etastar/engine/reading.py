"""How every engine reads its next batch."""

from __future__ import annotations

from collections.abc import Iterator

from etastar.core.batch import Batch
from etastar.core.randomness import derive_seed, seed_everything
from etastar.errors import call


def next_batch(batches: Iterator[Batch], seed: int, step: int, part: int = 0) -> Batch:
    """The next batch; random transforms in it draw from (seed, step, part) alone."""
    seed_everything(derive_seed(seed, "batch", step, part))
    return call("reading a training batch", next, batches)
