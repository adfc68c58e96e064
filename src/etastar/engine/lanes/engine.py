"""The lane engine: many trainings as rows, in chunks that fit the processor's cache, equal to the loop lane by lane."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import torch

from etastar import arguments
from etastar.core.cannot_batch import CannotBatch
from etastar.core.data import stream
from etastar.core.finite_loss import check_batch
from etastar.core.kept import undisturbed
from etastar.core.lane import Lane, Outcome, Until
from etastar.core.named_groups import split
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.setup import Setup, check_fresh_storage, set_up, to
from etastar.engine.lanes.feed import Feed
from etastar.engine.lanes.kernels.convnet import ConvNetKernel
from etastar.engine.lanes.kernels.functional import FunctionalKernel
from etastar.engine.lanes.kernels.kernel import Kernel, KernelFactory, Scores
from etastar.engine.lanes.kernels.mlp import MLPKernel
from etastar.engine.lanes.lane_settings import apart, vary
from etastar.engine.lanes.rates import Rates
from etastar.engine.lanes.rows import Rows, layout_of
from etastar.engine.lanes.steady import refuse_changes
from etastar.engine.lanes.watch import Watch
from etastar.engine.loop import LoopEngine
from etastar.engine.reading import next_batch
from etastar.engine.recorder import History
from etastar.engine.signals import Signals
from etastar.engine.validation import mean_scores, samples_for
from etastar.errors import may_be_a_lanes
from etastar.policies.compose import groups_named

KERNELS: dict[str, KernelFactory] = {"mlp": MLPKernel, "convnet": ConvNetKernel, "vmap": FunctionalKernel}
"""The most special first."""
COMPACT_AT = 0.1
"""Share of decided lanes at which the rest is moved together: moving costs about a tenth of a step."""


class LaneEngine:
    """Trains lanes together. Lanes that cannot be (see `CannotBatch`), or among which the user's code raises, go through the
    loop, where each has its own end.

    Args:
        kernel: "mlp", "convnet" or "vmap".
        chunk: lanes trained together; more do not help once their state has outgrown the cache.
        device, dtype: as for `LoopEngine`.
    """

    def __init__(self, kernel: str, chunk: int = 16, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        arguments.word("kernel", kernel, KERNELS)
        arguments.CHUNK("chunk", chunk)
        self.kernel, self.chunk, self.device, self.dtype = kernel, chunk, device, dtype
        self._loop = LoopEngine(device, dtype)
        self._checked: Problem | None = None

    @property
    def name(self) -> str:
        """Kernel and device."""
        return f"{self.kernel}/{self.device}" + (f"/{str(self.dtype).removeprefix('torch.')}" if self.dtype else "")

    @property
    def kernel_factory(self) -> KernelFactory:
        """What makes the kernel."""
        return KERNELS[self.kernel]

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) as lanes are decided."""
        for chunk in chunks(lanes, self.chunk):
            yield from self._train_or_loop(problem, {index: lanes[index] for index in chunk})

    def try_train(self, problem: Problem, lanes: Sequence[Lane]) -> list[Outcome]:
        """Outcomes in the order of `lanes`, without the way out.

        Raises:
            CannotBatch: they cannot be trained together.
        """
        done = dict(self._train_chunk(problem, dict(enumerate(lanes))))
        return [done[index] for index in range(len(lanes))]

    def _train_or_loop(self, problem: Problem, lanes: dict[int, Lane]) -> Iterator[tuple[int, Outcome]]:
        left, firsts = dict(lanes), self._loop.first_losses
        try:
            for index, outcome in self._train_chunk(problem, lanes):
                first = firsts.of(problem, left[index])
                del left[index]
                yield index, first.beside(outcome)
        except BaseException as error:
            if not may_be_a_lanes(error):
                raise
        for index, lane in left.items():
            yield index, firsts.of(problem, lane).beside(self._loop.train_lane(problem, lane))

    def _train_chunk(self, problem: Problem, lanes: dict[int, Lane]) -> Iterator[tuple[int, Outcome]]:
        with undisturbed(problem), steady_numerics():
            known = self._checked is problem
            if not known:
                check_fresh_storage(problem)
            summed = self._loop.first_losses.summed(problem)
            with LaneTraining(problem, lanes, self.kernel_factory, self.device, self.dtype, summed=summed) as group:
                if not known:
                    refuse_changes(problem, self.device, self.dtype)
                    self._checked = problem
                while group.undecided:
                    done = group.step()
                    if done:
                        yield from done


class LaneTraining:
    """Lanes that train together, from their first step until all are decided."""

    def __init__(
        self,
        problem: Problem,
        lanes: dict[int, Lane],
        kernel: KernelFactory,
        device: str,
        dtype: torch.dtype | None,
        *,
        summed: bool = False,
    ) -> None:
        if problem.batches is None:
            raise CannotBatch("it is a training loop of the user's")
        self._started = time.perf_counter()
        self._problem, self._device, self._dtype = problem, device, dtype
        self._index, own = list(lanes), list(lanes.values())
        self._summed = summed
        self._feed = Feed(problem.batches, [lane.seed for lane in own], device, dtype)
        try:
            setups = self._set_up(own)
            setups = {seed: split(setup, groups_named(own[0].policy)) for seed, setup in setups.items()}
            first = next(iter(setups.values()))
            layout = layout_of(first)
            vary(layout, first, own)
            self._kernel: Kernel = kernel(problem, first.model, layout)
            self._rows = Rows.of(setups, [lane.seed for lane in own], layout)
        except BaseException:
            self._feed.close()
            raise
        self._rates = Rates(own, [group.label for group in first.groups])
        rows, used = self._rows, layout.used
        self._signals = Signals(self._rates.keys, lambda: rows.grad[:, :used], lambda: rows.params[:, :used])
        per_epoch = problem.batches.per_epoch
        self._watch = Watch(own, per_epoch // problem.accumulate or None if per_epoch else None)
        self._lanes = len(own)

    def _set_up(self, lanes: Sequence[Lane]) -> dict[int, Setup]:
        assert self._problem.batches is not None
        seeds = list(dict.fromkeys(lane.seed for lane in lanes))
        with closing(stream(self._problem.batches, seeds[0])) as batches:
            example = next_batch(batches, seeds[0], 0)
        return {seed: set_up(self._problem, seed, device=self._device, dtype=self._dtype, example=example) for seed in seeds}

    @property
    def undecided(self) -> int:
        """Lanes still of interest."""
        return len(self._watch.undecided)

    def step(self) -> list[tuple[int, Outcome]]:
        """One optimizer step of all lanes; returns those it decided."""
        step = self._watch.step
        (loss, share), norms, clipped, rates = self._gradient(step)
        alive = self._rows.alive() if self._watch.wants_grad_norm() else None
        self._watch.add(loss, share, norms, rates if rates.dim() == 1 else rates[:, 0], clipped, alive)
        with torch.no_grad():
            self._rows.step(rates)
        return self._look() if self._watch.due() else []

    def _gradient(self, step: int) -> tuple[Scores, torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
        """Loss and accuracy, gradient norms where they are wanted, which lanes were clipped, and every lane's rate."""
        problem, rows = self._problem, self._rows
        scores = self._kernel.gradient(rows, self._feed.next(step))
        if problem.accumulate > 1:
            scores = self._accumulate(step, scores)
        norms = clipped = None
        if problem.clip_grad_norm is not None or self._watch.wants_grad_norm() or self._signals.reads("grad_norm"):
            norms = rows.grad_norms()
        rates = self._rates.step(step, self._signals.look(step, *scores, norms), self._signals.missing)
        if problem.clip_grad_norm is not None and norms is not None:
            rows.clip(norms, problem.clip_grad_norm)
            clipped = norms > problem.clip_grad_norm
        return scores, norms, clipped, rates

    def _accumulate(self, step: int, first: Scores) -> Scores:
        """Means over the batches of one optimizer step."""
        rows, parts = self._rows, self._problem.accumulate
        total = rows.grad / parts
        losses, shares = [first[0].double()], [first[1]]
        for part in range(1, parts):
            loss, share = self._kernel.gradient(rows, self._feed.next(step, part))
            total.add_(rows.grad / parts)
            losses.append(loss.double())
            shares.append(share)
        rows.grad.copy_(total)
        known = [share.double() for share in shares if share is not None]
        return torch.stack(losses).mean(0), torch.stack(known).mean(0) if len(known) == parts else None

    def _look(self) -> list[tuple[int, Outcome]]:
        """Outcomes of the lanes that are decided; the others are moved together where it pays."""
        found = self._watch.look()
        odd = self._feed.take_odd()
        if any(history.non_finite for _, history in found):
            for step, batch in odd:
                check_batch(self._problem, batch, f"a training batch (step {step})", self._device, self._dtype)
        seconds = (time.perf_counter() - self._started) / self._lanes
        valid = self._validate({row: history.lane for row, history in found if _wants_validation(history)})
        outcomes = []
        for row, history in found:
            loss, share = valid.get(row, (None, None))
            outcomes.append((self._index[row], history.outcome(valid_loss=loss, valid_accuracy=share, seconds=seconds)))
        undecided = self._watch.undecided
        if 0 < len(undecided) <= (1 - COMPACT_AT) * len(self._rows):
            self._keep(undecided.tolist())
        return outcomes

    def _keep(self, rows: list[int]) -> None:
        index = torch.tensor(rows)
        self._rows.keep(index)
        self._rates.take(index)
        self._signals.take(index)
        self._feed.keep(rows)
        self._index = [self._index[row] for row in rows]
        self._watch.keep(index.numpy())

    def _validate(self, ended: Mapping[int, Lane]) -> dict[int, tuple[float | None, float | None]]:
        """Loss and accuracy on the validation data by row, in eval mode; lanes of one length see the same samples."""
        found: dict[int, tuple[float | None, float | None]] = {}
        together: dict[int, list[int]] = {}
        for row, lane in ended.items():
            together.setdefault(samples_for(self._problem, lane), []).append(row)
        evaluate = lambda batch: self._kernel.evaluate(self._rows, to(batch, self._device, self._dtype))
        for rows in together.values():
            scores = mean_scores(self._problem, ended[rows[0]], evaluate, summed=self._summed)
            loss, share = ([None] * len(self._rows) if score is None else score.tolist() for score in scores)
            found |= {row: (loss[row], share[row]) for row in rows}
        return found

    def __enter__(self) -> LaneTraining:
        return self

    def __exit__(self, *exc: object) -> None:
        self._feed.close()


def chunks(lanes: Sequence[Lane], size: int) -> list[list[int]]:
    """Indices of lanes to train together: of one criterion and settings that go together, at most `size`, mixed evenly.

    >>> chunks([Lane(0.1, seed, 10) for seed in range(5)], 2)
    [[0, 3], [1, 4], [2]]
    """
    alike: dict[object, list[int]] = {}
    for index, lane in enumerate(lanes):
        cut = groups_named(lane.policy)
        together = (lane.criterion, min(lane.criterion.window, lane.steps), apart(lane.settings), cut)
        alike.setdefault(together, []).append(index)
    return [own[first :: -(-len(own) // size)] for own in alike.values() for first in range(-(-len(own) // size))]


def shares(lanes: dict[int, Lane], chunk: int, parts: int) -> list[dict[int, Lane]]:
    """Lanes that travel together: what an engine trains at once, but so that each of `parts` workers gets some."""
    index, own = list(lanes), list(lanes.values())
    size = min(chunk, -(-len(own) // parts)) if own else 1
    return [{index[i]: own[i] for i in members} for members in chunks(own, size)]


def _wants_validation(history: History) -> bool:
    return history.lane.until is Until.END and not history.status.broken
