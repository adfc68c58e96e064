"""What the tests of the store share: lanes, problems, an engine that counts, and what equal outcomes are."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from torch import nn

from etastar import Criterion, Lane, Outcome, Problem, RunStore
from etastar.core import Until
from etastar.engine import LoopEngine
from processes import PATIENCE

CRITERION = Criterion(loss=0.4)
STABLE, EXPLOSIVE = 0.1, 1e8
FACTS = {"optimizer": "SGD"}
TRACE = (1.0, 0.5)


class Says:
    """An engine that delivers what it is told to, after `first` was done."""

    name = "says"

    def __init__(self, outcomes: Sequence[Outcome], first: Callable[[], Any] = lambda: None) -> None:
        self._outcomes, self._first = outcomes, first

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        self._first()
        places = {lane: place for place, lane in enumerate(lanes)}
        for outcome in self._outcomes:
            yield places[outcome.lane], outcome


class Counting:
    """A loop engine that remembers which lanes it was given."""

    def __init__(self) -> None:
        self._loop = LoopEngine()
        self.trained: list[Lane] = []

    @property
    def name(self) -> str:
        return self._loop.name

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for index, outcome in self._loop.train(problem, lanes):
            self.trained.append(lanes[index])
            yield index, outcome


def same(a: Any, b: Any) -> bool:
    """Equality where NaN equals NaN, down to every field; 1 and 1.0 are not the same."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def lane(lr: float, *, seed: int = 0, steps: int = 20, until: Until = Until.END, **changes: Any) -> Lane:
    return Lane(**{"lr": lr, "seed": seed, "steps": steps, "criterion": CRITERION, "until": until, **changes})


def classifier() -> Problem:
    """Three batches an epoch, accuracies, clipping and validation data: every column is in use."""
    x = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    return Problem(
        model=lambda: nn.Linear(4, 2),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        loss=nn.functional.cross_entropy,
        train=(x, y),
        valid=(x[:8], y[:8]),
        batch_size=16,
        steps=20,
        clip_grad_norm=1.0,
    )


def open_store(url: str | Path, problem: Problem, *, trace: Sequence[float] = TRACE, **options: Any) -> RunStore:
    store = RunStore(url)
    store.register(problem, "f" * 32, trace, FACTS, **options)
    return store


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database itself says."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]
    finally:
        engine.dispose()


def together(work: Callable[[int], Any], writers: int) -> list[Any]:
    """`work(0)`, `work(1)`, ... in threads that start at one moment."""
    barrier = threading.Barrier(writers)

    def begin(index: int) -> Any:
        barrier.wait(timeout=PATIENCE)
        return work(index)

    with ThreadPoolExecutor(writers) as threads:
        return [future.result(timeout=PATIENCE) for future in [threads.submit(begin, i) for i in range(writers)]]
