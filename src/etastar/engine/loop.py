"""The reference engine: lanes one after the other, each an ordinary PyTorch loop. Faster engines must equal it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch

from etastar import arguments
from etastar.core.batch import Batch
from etastar.core.data import IndexedBatches
from etastar.core.kept import undisturbed
from etastar.core.lane import Lane, Outcome
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.setup import Setup, check_fresh_storage, set_up
from etastar.core.snapshot import Snapshot
from etastar.core.training import Shelf
from etastar.engine.first_losses import FirstLosses
from etastar.engine.keeping import Keeping
from etastar.engine.looks import Looks
from etastar.engine.loop_lane import LoopLane
from etastar.engine.signals import Signals, keys_of
from etastar.engine.steady import memory_of
from etastar.engine.taking import check_start, check_take
from etastar.engine.trunks import Stem, grow_in_turn
from etastar.engine.user_loop import follow
from etastar.errors import ProblemError


class LoopEngine:
    """Trains lanes one after the other, in this process, on one thread.

    Args:
        device: where to train, e.g. "cpu" or "cuda".
        dtype: train in this floating-point type instead of the model's own (float64 for comparisons).

    Attributes:
        shelf: where lanes under way are kept.
    """

    chunk = 1
    """Lanes trained together."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        self.device, self.dtype = arguments.name("device", device, "cpu"), dtype
        if device.startswith("cuda"):
            torch.cuda.init()  # before random state is saved, so that CUDA's is, too
        self._checked: Problem | None = None
        self.first_losses = FirstLosses(device, dtype)
        self.shelf: Shelf | None = None

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"loop/{self.device}" + (f"/{str(self.dtype).removeprefix('torch.')}" if self.dtype else "")

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome), each with its seed's loss before training; lanes that begin alike follow each other."""
        own, keeping = dict(enumerate(lanes)), Keeping(self.shelf)
        for stem, at in self._starts(problem, own, keeping):
            firsts = {index: self.first_losses.of(problem, own[index]) for index in stem.members}
            for index, outcome in self._grown(problem, stem, own, keeping, at):
                yield index, firsts[index].beside(outcome)

    def train_lane(self, problem: Problem, lane: Lane) -> Outcome:
        """Train one lane; nothing of the caller's is changed by it."""
        if problem.is_loop:
            with undisturbed(problem), steady_numerics():
                return follow(problem, lane)[0]
        with self.start(problem, [lane]) as training:
            [(_, outcome)] = training.advance(lane.steps)
        return outcome

    def start(self, problem: Problem, lanes: Sequence[Lane], at: Sequence[Snapshot] | None = None) -> LoopTraining:
        """See `Engine`."""
        return LoopTraining(self, problem, lanes, at)

    def set_up(self, problem: Problem, seed: int, example: Batch) -> Setup:
        """How a lane of `seed` starts."""
        return set_up(problem, seed, device=self.device, dtype=self.dtype, example=example)

    def check(self, problem: Problem) -> None:
        """Refuse a model factory that gives the same memory twice; once for a problem."""
        if self._checked is not problem:
            check_fresh_storage(problem)
            self._checked = problem

    def _starts(self, problem: Problem, lanes: dict[int, Lane], keeping: Keeping) -> Iterator[tuple[Stem, Snapshot | None]]:
        """The lanes; those that begin alike together, and from where they were kept, where the user's code allows it."""
        starts = keeping.starts(lanes)
        alone = all(start.at is None and not any(stem.branches for stem in start.stems) for start in starts)
        # a stream that is its own iterator cannot be read beside a lane: whether it may be kept is found out before
        beside = problem.is_loop or self.shelf is None or isinstance(problem.parts.batches, IndexedBatches)
        if alone and not beside:
            why_no_snapshot(problem, self.device, self.dtype)
        if not alone and (problem.is_loop or why_no_snapshot(problem, self.device, self.dtype)):
            yield from ((Stem(lane, (index,)), None) for index, lane in lanes.items())
            return
        for start in starts:
            yield from zip(start.stems, start.at or [None] * len(start.stems), strict=True)

    def _grown(
        self, problem: Problem, stem: Stem, lanes: dict[int, Lane], keeping: Keeping, at: Snapshot | None
    ) -> Iterator[tuple[int, Outcome]]:
        if problem.is_loop:
            yield stem.members[0], self.train_lane(problem, stem.lane)
            return
        start = lambda lane, at: self.start(problem, [lane], None if at is None else [at])
        yield from grow_in_turn(start, stem, lanes, keeping.look, at)


class LoopTraining:
    """See `Training`. Rows are trained one after the other; a fork is a snapshot restored."""

    def __init__(
        self, engine: LoopEngine, problem: Problem, lanes: Sequence[Lane], at: Sequence[Snapshot] | None = None
    ) -> None:
        if problem.is_loop:
            raise ProblemError("a training loop of your own cannot be stepped from outside; expected model, optimizer, loss")
        check_start(lanes, at)
        self._engine, self._problem, self.lanes, self._at = engine, problem, list(lanes), at
        self._rows: list[LoopLane] = []
        self._open = ExitStack()
        self.step = at[0].step if at else 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(undisturbed(self._problem))
            stack.enter_context(steady_numerics())
            self._engine.check(self._problem)
            if len(self.lanes) > 1 or self._at:
                self._refuse_memory()
            self._rows = [self._lane(lane, self._at[i] if self._at else None) for i, lane in enumerate(self.lanes)]
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for row in self._rows:
            row.close()
        self._open.close()

    @property
    def undecided(self) -> list[int]:
        """See `Training`."""
        return [row for row, lane in enumerate(self._rows) if not lane.decided]

    def advance(self, steps: int) -> list[tuple[int, Outcome]]:
        """See `Training`."""
        found = []
        for row in self.undecided:
            outcome = self._rows[row].advance(steps)
            if outcome is not None:
                found.append((row, outcome))
        self.step = max((lane.step for lane in self._rows), default=self.step)
        return found

    def outcome_as(self, row: int, lane: Lane) -> Outcome:
        """See `Training`."""
        return self._rows[row].outcome_as(lane)

    def take(self, rows: Sequence[int], lanes: Sequence[Lane] | None = None) -> None:
        """See `Training`."""
        named = check_take(self, rows, lanes)
        kept = {row: (self.snapshot(row), self._rows[row].looks) for row in dict.fromkeys(rows)}
        for row, lane in zip(rows, named, strict=True):
            Signals.check_watched(keys_of(lane.policy), kept[row][0].steering["signals"], self.step)
        for row in self._rows:
            row.close()
        self._rows = [self._lane(lane, kept[row][0], kept[row][1].fork()) for row, lane in zip(rows, named, strict=True)]
        self.lanes = named

    def snapshot(self, row: int) -> Snapshot:
        """See `Training`."""
        self._refuse_memory()
        return self._rows[row].snapshot()

    def last_loss(self, row: int) -> float:
        """Of the step taken last, before it."""
        return self._rows[row].last_loss

    def setup(self, row: int) -> Setup:
        """See `Training`; it is the row itself."""
        return self._rows[row].setup

    def _lane(self, lane: Lane, at: Snapshot | None, looks: Looks | None = None) -> LoopLane:
        return LoopLane(self._engine, self._problem, lane, at, looks)

    def _refuse_memory(self) -> None:
        if why := why_no_snapshot(self._problem, self._engine.device, self._engine.dtype):
            raise ProblemError(f"{why}, which no snapshot holds; train every lane from its start, alone")


def why_no_snapshot(problem: Problem, device: str, dtype: torch.dtype | None) -> str | None:
    """Why a lane cannot go on from a snapshot; None if it can."""
    with undisturbed(problem), steady_numerics():
        return memory_of(problem, device, dtype).why_not_kept
