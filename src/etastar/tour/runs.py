"""The trainings of the tour: an ordinary loop under a `Controller`, logged, or watched and heeded.

On one thread: on two cores that others used, too, 1,200 steps of the small network took 9 s so and 266 s on two.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import torch

from etastar.adapters.controller import Controller
from etastar.adapters.step_log import StepLog
from etastar.adapters.watch import Watcher
from etastar.core.numerics import steady_numerics
from etastar.core.problem import Problem

LOOK = 20
"""Steps from one validation to the next."""
SAMPLES = 256
"""Of the batch that a watcher looks at: eight times one that is trained on."""
SNAPSHOTS, APART = 4, 10
"""Kept to go back to, and steps between them."""


@dataclass
class WatchedRun:
    """A training under the eyes of a watcher.

    Args:
        heeded: whether its warning is heeded.
        losses, rates: of every step that was trained, by the controller's count.
        warned: (step, what it said) of the first warning.
        accuracy: on the validation data at the end.
    """

    heeded: bool
    losses: list[tuple[int, float]] = field(default_factory=list)
    rates: list[tuple[int, float]] = field(default_factory=list)
    warned: tuple[int, str] | None = None
    accuracy: float = 0.0


@steady_numerics()
def logged(problem: Problem, policy: str, lr: float, path: Path | None = None) -> float:
    """Train once under a policy; the validation loss at the end. Into `path` goes what `forecast` reads.

    It is looked at every `LOOK` steps, before the update; the controller writes it down.
    """
    torch.manual_seed(problem.seed)
    model = problem.parts.model()
    optimizer: Any = problem.parts.optimizer(model)
    logger = None if path is None else StepLog(path)
    controller = Controller(optimizer, policy, lr=lr, steps=problem.steps, logger=logger)
    for step, batch in zip(range(1, problem.steps + 1), _batches(problem), strict=False):
        optimizer.zero_grad()
        loss = _loss(problem, model, batch)
        loss.backward()
        controller.step(loss=loss, valid_loss=_validated(problem, model)[0] if step % LOOK == 0 else None)
        optimizer.step()
    return _validated(problem, model)[0]


@steady_numerics()
def watched(problem: Problem, policy: str, lr: float, steps: int, factor: float, *, heeded: bool) -> WatchedRun:
    """Train under a rate that rises too far; heeding the watcher is to go back and on with `factor` times the rate."""
    torch.manual_seed(problem.seed)
    model = problem.parts.model()
    optimizer: Any = problem.parts.optimizer(model)
    controller = Controller(optimizer, policy, lr=lr, steps=steps, model=model, keep=SNAPSHOTS, every=APART)
    always = next(_batches(problem, SAMPLES))
    watcher = Watcher(optimizer, model, lambda: _loss(problem, model, always))
    run, batches = WatchedRun(heeded), _batches(problem)
    while controller.taken < steps:
        optimizer.zero_grad()
        loss = _loss(problem, model, next(batches))
        loss.backward()
        rate = controller.step(loss=loss)
        caution = _quiet(watcher, loss)
        if caution and run.warned is None:
            run.warned = (controller.taken, str(caution))
            if heeded and controller.taken >= APART:
                controller.rollback(factor)
                continue
        run.losses.append((controller.taken, loss.item()))
        run.rates.append((controller.taken, rate))
        optimizer.step()
    run.accuracy = _validated(problem, model)[1]
    return run


def _quiet(watcher: Watcher, loss: torch.Tensor) -> Any:
    """A look whose warning is returned and not logged as well: the tour prints it in its own place."""
    log = logging.getLogger("etastar")
    before, log.disabled = log.disabled, True
    try:
        return watcher.step(loss)
    finally:
        log.disabled = before


def _batches(problem: Problem, size: int | None = None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The training samples in their order, which is a shuffled one, again and again."""
    x, y = problem.train
    return cycle(zip(x.split(size or problem.batch_size), y.split(size or problem.batch_size), strict=True))


def _loss(problem: Problem, model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    loss: Any = problem.loss
    return loss(model(batch[0]), batch[1])


def _validated(problem: Problem, model: torch.nn.Module) -> tuple[float, float]:
    """(loss, accuracy) on the validation data."""
    x, y = problem.valid
    loss: Any = problem.loss
    with torch.no_grad():
        said = model(x)
        return loss(said, y).item(), (said.argmax(1) == y).double().mean().item()
