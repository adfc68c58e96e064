"""Which engine trains a problem's lanes: the fastest in a short trial, once it is proven equal to the loop in float64."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from etastar.core.data import stream
from etastar.core.deadline import TimeOver
from etastar.core.groups import default_lr
from etastar.core.kept import undisturbed
from etastar.core.lane import Criterion, Lane, Until
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed
from etastar.core.setup import set_up, to
from etastar.engine.equality import OWN_TYPE_TOLERANCE, TRIAL_RATES, TRIAL_STEPS, Equality, refusal, small_valid
from etastar.engine.lanes.engine import KERNELS, LaneEngine
from etastar.engine.lanes.rows import layout_of
from etastar.engine.loop import LoopEngine
from etastar.engine.memory import activation_bytes, bytes_per_lane, lanes_that_fit
from etastar.engine.reading import next_batch
from etastar.engine.sequential import SequentialEngine
from etastar.engine.step_time import median_step, timed_steps
from etastar.engine.traces import trace_lane
from etastar.errors import DoesNotApply, ProblemError, in_one_line

ENGINES = ("auto", "loop", "sequential", *KERNELS)
CHUNKS = {"cpu": (8, 32, 64), "cuda": (64, 256, 512)}
"""Lanes per chunk to try, as long as more are faster."""
FEWER = 2
"""Tried where eight lanes are not faster than one after the other."""
CACHE = 2 * 2**20
"""Bytes of one lane's rows from which a CPU gets `FEWER` at a time: more share no call that matters and fight for the cache,
most of all when every core does (a trial alone does not see that)."""
FAR_FASTER = 8
"""How many times faster than the loop a kernel must be for the tuned loop not to be tried (the preflight times the loop's
first steps, which are slow)."""
CLEARLY = 0.8
"""A kernel must take less than this share of the time of one lane after the other: batches are often smaller than the chunk
that was timed and are split over processes, where lanes by themselves lose nothing (a small transformer, four lanes in two
processes: 5.6 ms a step together, 4.7 by themselves; 4.6 in a chunk of eight)."""
BETTER = 0.95
"""A larger chunk must take less than this share of the time per lane."""


@dataclass(frozen=True)
class Choice:
    """An engine for a problem's lanes.

    Args:
        engine: "loop", "sequential" or a kernel's name.
        chunk: lanes trained together.
        seconds_per_step: of one lane, as measured; None if it was not.
        refused: engine -> why it cannot train this problem.
        times: engine and chunk -> seconds of a lane's step, of every candidate timed.
        at_most: lanes it was chosen for; more of them may do better in larger chunks. 0 if that is not known.
    """

    engine: str
    chunk: int = 1
    seconds_per_step: float | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    at_most: int = 0

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Choice:
        """What `told` made of it."""
        numbers = facts["engine"], facts["chunk"], facts["seconds_per_step"]
        return cls(*numbers, dict(facts["refused"].items()), dict(facts["times"].items()), facts.get("at_most", 0))

    @property
    def fell_back(self) -> bool:
        """Whether no kernel could train the lanes together."""
        return self.engine in ("loop", "sequential") and len(self.refused) == len(KERNELS)

    def fits(self, lanes: int, device: str) -> bool:
        """Whether it serves so many lanes, too: chosen for as many, or for as many as are ever tried, or one at a time."""
        return self.engine not in KERNELS or lanes <= self.at_most or self.at_most >= CHUNKS[_kind(device)][-1]

    def build(self, device: str, dtype: torch.dtype | None = None) -> LoopEngine | LaneEngine:
        """The engine."""
        if self.engine == "loop":
            return LoopEngine(device, dtype)
        if self.engine == "sequential":
            return SequentialEngine(device, dtype)
        return LaneEngine(self.engine, self.chunk, device, dtype)

    def _with(self, refused: Mapping[str, str], times: Mapping[str, float]) -> Choice:
        return replace(self, refused=dict(refused), times=dict(times))

    def sentence(self) -> str:
        """The choice in words."""
        if self.engine == "loop":
            return "the reference loop"
        if self.engine == "sequential":
            return "one lane after the other"
        return f"{self.engine} lanes, {self.chunk} at a time"


def choose(
    problem: Problem,
    criterion: Criterion,
    *,
    engine: str = "auto",
    device: str = "cpu",
    reproducible: bool = True,
    loop_seconds: float = 0.0,
    at_most: int = 512,
    processes: int = 1,
) -> Choice:
    """Choose an engine by a short trial.

    Args:
        engine: "auto", or the one asked for; its chunk is chosen all the same.
        reproducible: whether the loop gave the same losses twice.
        loop_seconds: of a step of the loop, where it is known; what is far faster is not compared any further.
        at_most: lanes that will be asked for at once.
        processes: worker processes that share the memory.

    Raises:
        ProblemError: the engine asked for cannot train this problem.
    """
    if engine == "loop" or problem.is_loop or not reproducible:
        if engine not in ("auto", "loop"):
            changes = "the same lane does not give the same losses twice"
            why = "it is a training loop of your own" if problem.is_loop else changes
            raise ProblemError(f"engine {engine!r} cannot train this problem: {why}; use --engine auto or loop")
        return Choice("loop")
    with undisturbed(problem):
        trial = _Trial(problem, criterion, device, at_most, processes, loop_seconds)
        return replace(_tried(trial, engine), at_most=at_most)


def choose_quickly(problem: Problem, criterion: Criterion, device: str) -> Choice:
    """Where every pass over a batch is dear: one lane after the other, tuned if two steps give the loop's losses."""
    bare, lane = problem if problem.valid is None else problem.but(valid=None), trace_lane(criterion)
    with undisturbed(problem):
        truth = list(timed_steps(LoopEngine(device), bare, lane))
        try:
            steps = list(timed_steps(SequentialEngine(device), bare, lane))
        except TimeOver:
            raise
        except Exception as error:  # the user's code, run in a way it was not written for, may raise anything
            why = f"it fails where the loop does not ({in_one_line(error)})"
            return Choice("loop", 1, truth[-1][0], {"sequential": why})
    apart = max(abs(own - loss) / max(abs(loss), 1e-12) for (_, loss), (_, own) in zip(truth, steps, strict=True))
    if not apart <= OWN_TYPE_TOLERANCE:
        return Choice("loop", 1, truth[-1][0], {"sequential": f"its losses differ from the loop's by {apart:.1g}"})
    return Choice("sequential", 1, steps[-1][0])


def _tried(trial: _Trial, engine: str) -> Choice:
    if engine == "sequential":
        why = trial.why_not(engine)
        if why is not None:
            raise ProblemError(f"engine {engine!r} cannot train this problem: {why}; use --engine auto or loop")
        return trial.one_by_one()
    refused: dict[str, str] = {}
    for kernel in KERNELS if engine == "auto" else (engine,):
        best = trial.best_chunk(kernel)
        if isinstance(best, str):
            refused[kernel] = best
            continue
        if engine == "auto" and not trial.wins(best):
            alone = trial.one_by_one()
            if not (best.seconds_per_step or 0) < CLEARLY * (alone.seconds_per_step or 0):
                return alone._with(refused, trial.times)
        why = trial.why_not(kernel)  # the proof comes last: it costs more than the clock, and of two engines one loses
        if why is None:
            return best._with(refused, trial.times)
        refused[kernel] = why
    if engine != "auto":
        raise ProblemError(f"engine {engine!r} cannot train this problem: {refused[engine]}; use --engine auto")
    return trial.one_by_one()._with(refused, trial.times)


class _Trial:
    """Short trainings of one problem under several engines."""

    def __init__(
        self, problem: Problem, criterion: Criterion, device: str, at_most: int, processes: int, loop_seconds: float
    ) -> None:
        self._loop_seconds = loop_seconds
        self._row_bytes = 0
        self.times: dict[str, float] = {}
        self._criterion, self._device = criterion, device
        valid = problem.valid_batches
        self._problem = problem if valid is None else problem.but(valid=small_valid(valid))
        self._most = min(at_most, self._fit(processes))
        self._engines = {kernel: LaneEngine(kernel, device=device) for kernel in KERNELS}
        self._equality = Equality(self._problem, criterion, device, self._lr, self._eps)
        self._bare = self._problem.but(valid=None)  # the loop has asked its loss what an accuracy is, which no kernel should

    def why_not(self, engine: str) -> str | None:
        """None if the engine trains as the loop does; else a reason."""
        return self._equality.why_not(engine)

    def best_chunk(self, kernel: str) -> Choice | str:
        """The fastest number of lanes at a time; or why the kernel does not train at all."""
        return "two lanes do not fit in memory" if self._most < 2 else refusal(lambda: self._fastest(kernel))

    def _fastest(self, kernel: str) -> Choice:
        if self._row_bytes > CACHE and _kind(self._device) == "cpu":
            return Choice(kernel, FEWER, self._time_lanes(kernel, FEWER))
        sizes = [size for size in CHUNKS[_kind(self._device)] if size <= self._most]
        best = Choice(kernel, first := (sizes or [self._most])[0], self._time_lanes(kernel, first))
        if not self._is_faster(best, BETTER):
            fewer = Choice(kernel, FEWER, self._time_lanes(kernel, FEWER)) if first > FEWER else best
            return min(best, fewer, key=lambda choice: choice.seconds_per_step or math.inf)
        for size in sizes[1:]:
            seconds = self._time_lanes(kernel, size)
            if seconds > BETTER * (best.seconds_per_step or math.inf):
                break
            best = Choice(kernel, size, seconds)
        return best

    def wins(self, best: Choice) -> bool:
        """Whether a kernel is clearly faster than one lane after the other, tuned, which need not be proven for that."""
        return self._is_faster(best, CLEARLY)

    def _is_faster(self, best: Choice, share: float) -> bool:
        seconds = best.seconds_per_step or 0
        return seconds < self._loop_seconds / FAR_FASTER or seconds < share * self._alone("sequential")

    def one_by_one(self) -> Choice:
        """One lane after the other: tuned where that gives the loop's numbers, else the loop."""
        single = "loop" if self.why_not("sequential") else "sequential"
        return Choice(single, 1, self._alone(single))

    def _alone(self, engine: str) -> float:
        """Seconds of a step of a lane by itself; in the loop where it cannot be tuned."""
        if engine not in self.times:
            own = (LoopEngine if engine == "loop" else SequentialEngine)(self._device)
            try:
                self.times[engine] = median_step(own, self._bare, self._lane(1 + 2 * TRIAL_STEPS))
            except TimeOver:
                raise
            except Exception:  # the user's code, run in a way it was not written for, may raise anything
                if engine == "loop":
                    raise
                return self._alone("loop")
        return self.times[engine]

    def _time_lanes(self, kernel: str, size: int) -> float:
        """Seconds of one step of one lane among `size`, at best; all start from one seed's weights, which are made once."""
        lanes = [self._lane(10 * TRIAL_STEPS)] * size
        with self._engines[kernel].start(self._bare, lanes) as training:
            training.step_once()
            taken = []
            for _ in range(TRIAL_STEPS):
                self._wait()
                started = time.perf_counter()
                training.step_once()
                self._wait()
                taken.append(time.perf_counter() - started)
        seconds = min(taken) / size
        self.times[f"{kernel} x {size}"] = seconds
        return seconds

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)

    def _lane(self, steps: int) -> Lane:
        unreachable = replace(self._criterion, loss=-math.inf)
        return Lane(TRIAL_RATES[0], derive_seed(0, "trial", 0), steps, unreachable, Until.END, self._problem.policy)

    def _fit(self, processes: int) -> int:
        """Lanes that fit in memory, from one forward pass."""
        seed = derive_seed(0, "trial", "memory")
        with steady_numerics():
            batch = next_batch(stream(self._problem.parts.batches, seed), seed, 0)
            setup = set_up(self._problem, seed, device=self._device, example=batch)
            self._lr = default_lr(setup.optimizer)
            self._eps = max(torch.finfo(p.dtype).eps for p in setup.model.parameters() if p.requires_grad)
            try:
                layout = layout_of(setup)
            except DoesNotApply:
                return 2  # the kernel's own refusal says more than ours
            self._row_bytes = bytes_per_lane(layout, 0)
            activations = activation_bytes(self._problem, setup, to(batch, self._device), self._device)
        return lanes_that_fit(bytes_per_lane(layout, activations), self._device, processes)


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"
