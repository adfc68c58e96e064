"""Trials of several batch sizes: in what their losses are counted, and what can be compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

from etastar.core.batch import Batch
from etastar.core.data import stream
from etastar.core.kept import undisturbed
from etastar.core.lane import Outcome
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.reduction import MEAN, OTHER, SUM
from etastar.core.setup import set_up, to
from etastar.errors import ProblemError, call
from etastar.probes.convention import reduction
from etastar.probes.point import Point
from etastar.probes.samples import chunks, cut, draw, length

PARTS = 4
"""A batch is cut into so many: a contrastive loss of 1,000 samples falls by a fifth then, and by a tenth in halves."""
SAMPLES = 64
"""A loss is asked about so many at least."""
UNKNOWN = "unknown"
"""How a loss is reduced where a batch cannot be cut."""


def per_sample(outcome: Outcome, batch_size: int) -> Outcome:
    """The outcome of a summed loss with its losses per sample; its recorded steps stay as they were trained.

    Training and validation losses both are those of a training batch.
    """
    losses = {name: value for name, value in vars(outcome).items() if name.endswith("_loss") and value is not None}
    return replace(outcome, **{name: value / batch_size for name, value in losses.items()})


def kind_of(problem: Problem, device: str) -> str:
    """What the loss does with the samples of a batch: "mean", "sum", "other", or "unknown" where a batch cannot be cut.

    Asked of the untrained model in eval mode, and so of the loss alone: batch normalisation, too, makes a training batch
    more than its samples.
    """
    with undisturbed(problem), steady_numerics():
        seed = derive_seed(problem.seed, "reduction")
        batch = _samples(problem, seed)
        setup = set_up(problem, seed, device=device, example=batch)
        setup.model.eval()
        parts, whole = _cut(to(batch, device))
        if parts is None:
            return UNKNOWN
        point = Point(model=setup.model, optimizer=setup.optimizer, batch=whole, loss=problem.loss, loss_fn=problem.loss_fn)
        return reduction(point, parts)


def _samples(problem: Problem, seed: int) -> Batch:
    """Some joined batches: two pairs of samples say little (log(4), of a contrastive loss, is twice log(2))."""
    batches = problem.parts.batches
    try:
        return draw(batches, seed, max(batches.batch_size or 0, SAMPLES))
    except ProblemError:  # a missing value, say, which is for the loss to mask
        return call("reading a training batch", next, stream(batches, seed))


def _cut(batch: Batch) -> tuple[list[Batch] | None, Batch]:
    """(equal parts, all they hold): of four, or two, samples or more."""
    for count in (PARTS, 2):
        parts = chunks(batch, count)
        if parts is not None:
            return parts, cut(batch, 0, count * (length(parts[0]) or 0))
    return None, batch


@dataclass(frozen=True)
class BatchSizes:
    """The batch sizes of a search.

    Args:
        sizes: smallest first; one where they are all the same, none where it is not known.
        kind: see `kind_of`.
    """

    sizes: tuple[int, ...] = ()
    kind: str = MEAN

    @property
    def differ(self) -> bool:
        """Whether there are several."""
        return len(self.sizes) > 1

    @property
    def summed(self) -> bool:
        """Whether losses must be divided by their samples to be compared."""
        return self.differ and self.kind == SUM

    @property
    def flags(self) -> tuple[str, ...]:
        """Keys of `etastar.FLAGS`."""
        if not self.differ:
            return ()
        more = {OTHER: ("loss-of-the-batch",), UNKNOWN: ("reduction-unknown",)}.get(self.kind, ())
        return "equal-steps", *more

    def sentence(self, steps: int) -> str:
        """What the trials have in common, in words; empty where their batches are equally large."""
        if not self.differ:
            return ""
        samples = " .. ".join(f"{steps * size:,}" for size in (self.sizes[0], self.sizes[-1]))
        per_sample = "per sample, because the loss is a sum; " if self.summed else ""
        return f"; {per_sample}batches of {self.sizes[0]} .. {self.sizes[-1]} see {samples} samples in these steps"


def compared(problem: Problem, sizes: set[int], device: str) -> BatchSizes:
    """How trials of these batch sizes compare.

    Raises:
        ProblemError: the loss depends on the batch as a whole, and there is no validation data, which has one batch size.
    """
    if len(sizes) < 2:
        return BatchSizes(tuple(sizes))
    kind = kind_of(problem, device)
    if kind == OTHER and problem.valid is None:
        raise ProblemError(
            f"the space has batch sizes {min(sizes)} .. {max(sizes)}, but the loss is neither a mean nor a sum over samples;"
            " it depends on the batch as a whole, as contrastive losses do, and does not compare: pass valid=..., which is "
            "scored in batches of one size, or search each batch size alone"
        )
    return BatchSizes(tuple(sorted(sizes)), kind)
