"""The lane engine: many trainings as rows, in chunks that fit the processor's cache, equal to the loop lane by lane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from etastar import arguments
from etastar.core.lane import Lane, Outcome
from etastar.core.problem import Problem
from etastar.core.setup import check_fresh_storage
from etastar.core.snapshot import Snapshot
from etastar.core.training import Shelf
from etastar.engine.keeping import Keeping
from etastar.engine.lanes.kernels.convnet import ConvNetKernel
from etastar.engine.lanes.kernels.functional import FunctionalKernel
from etastar.engine.lanes.kernels.kernel import KernelFactory
from etastar.engine.lanes.kernels.mlp import MLPKernel
from etastar.engine.lanes.lane_settings import apart
from etastar.engine.lanes.lane_training import LaneTraining
from etastar.engine.loop import LoopEngine
from etastar.engine.steady import refuse_changes
from etastar.engine.trunks import grow_together, stems_of
from etastar.errors import may_be_a_lanes

KERNELS: dict[str, KernelFactory] = {"mlp": MLPKernel, "convnet": ConvNetKernel, "vmap": FunctionalKernel}
"""The most special first."""


class LaneEngine:
    """Trains lanes together. Lanes that cannot be (`DoesNotApply`), or among which the user's code raises, go through the
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
        self.shelf: Shelf | None = None
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
            DoesNotApply: they cannot be trained together.
        """
        done = dict(self._train_chunk(problem, dict(enumerate(lanes))))
        return [done[index] for index in range(len(lanes))]

    def start(self, problem: Problem, lanes: Sequence[Lane], at: Sequence[Snapshot] | None = None) -> LaneTraining:
        """See `Engine`.

        Raises:
            DoesNotApply: they cannot be trained together.
        """
        return LaneTraining(self, problem, lanes, at)

    def check_storage(self, problem: Problem) -> None:
        """Refuse a model factory that gives the same memory twice; once for a problem."""
        if self._checked is not problem:
            check_fresh_storage(problem)

    def check_memory(self, problem: Problem) -> None:
        """Refuse code that remembers, which lanes would share; once for a problem."""
        if self._checked is not problem:
            refuse_changes(problem, self.device, self.dtype)
            self._checked = problem

    def summed(self, problem: Problem) -> bool:
        """Whether its loss is a sum over samples."""
        return self._loop.first_losses.summed(problem)

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
        index, self._loop.shelf = list(left), self.shelf
        yield from ((index[i], outcome) for i, outcome in self._loop.train(problem, list(left.values())))

    def _train_chunk(self, problem: Problem, lanes: dict[int, Lane]) -> Iterator[tuple[int, Outcome]]:
        keeping = Keeping(self.shelf)
        for start in keeping.starts(lanes):
            with self.start(problem, [stem.lane for stem in start.stems], start.at) as training:
                yield from grow_together(training, start.stems, lanes, keeping.look)


def chunks(lanes: Sequence[Lane], size: int, whole: int | None = None) -> list[list[int]]:
    """Indices of lanes to train together: of one criterion and settings that go together, at most `size`, mixed evenly.

    Lanes that begin alike stay together, as long as they are no more than `whole` (default `size`).

    >>> chunks([Lane(0.1, seed, 10) for seed in range(5)], 2)
    [[0, 3], [1, 4], [2]]
    """
    alike: dict[object, list[tuple[int, ...]]] = {}
    for stem in stems_of(dict(enumerate(lanes))):
        lane = stem.lane
        watched = lane.monitors and lane.until  # those that rows cannot show at their end go through the loop
        together = (lane.criterion, min(lane.criterion.window, lane.steps), apart(lane.settings), watched)
        alike.setdefault(together, []).append(stem.members)
    return [chunk for families in alike.values() for chunk in _dealt(families, size, whole or size)]


def _dealt(families: Sequence[tuple[int, ...]], size: int, whole: int) -> list[list[int]]:
    """The members of families in parts of at most `size`, a family in parts of at most `whole`."""
    members = [number for family in families for number in family]
    if len(members) == len(families):
        parts = -(-len(members) // size)
        return [members[first::parts] for first in range(parts)]
    dealt: list[list[int]] = []
    for family in families:
        for piece in (family[first : first + whole] for first in range(0, len(family), whole)):
            room = next((part for part in dealt if len(part) + len(piece) <= size), None)
            if room is None:
                dealt.append(list(piece))
            else:
                room.extend(piece)
    return dealt


def shares(lanes: dict[int, Lane], chunk: int, parts: int) -> list[dict[int, Lane]]:
    """Lanes that travel together: what an engine trains at once, but so that each of `parts` workers gets some; and those
    that begin alike, also where an engine trains them one after the other.
    """
    index, own = list(lanes), list(lanes.values())
    each = -(-len(own) // parts) or 1
    size = min(chunk, each)
    return [{index[i]: own[i] for i in members} for members in chunks(own, size, each if chunk == 1 else size)]
