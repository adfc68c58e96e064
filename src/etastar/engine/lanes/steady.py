"""Lanes that train together run the user's code once for all of them: it may not remember anything from step to step."""

from __future__ import annotations

import random
import sys
from contextlib import closing
from typing import Any

import torch

from etastar.core.data import stream
from etastar.core.kept import Kept
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import set_up, to
from etastar.engine.lanes.cannot import CannotBatch
from etastar.engine.loop import next_batch

LR = 1e-3


def refuse_changes(problem: Problem, device: str, dtype: torch.dtype | None) -> None:
    """Take two training steps and see what the second has changed (the first may fill caches).

    A kernel that was traced would be frozen in the state of its first forward pass; one that is vectorised would share
    that state among its lanes. Parameters, and buffers that change in place, are the lanes' own.

    Raises:
        CannotBatch: an attribute, a variable, a buffer that is replaced, or a random generator has changed.
    """
    assert problem.batches is not None
    seed = derive_seed(0, "steady")
    with closing(stream(problem.batches, seed)) as batches:
        first = next_batch(batches, seed, 0)
        setup = set_up(problem, seed, device=device, dtype=dtype, example=first)
        setup.set_lr(LR)
        kept, drawn = None, False
        for step, batch in enumerate((first, next_batch(batches, seed, 1))):
            kept = Kept([*problem.judges, setup.model], lanes=setup.model)
            seed_everything(derive_seed(seed, "mask", step, 0))
            draws = _drawn()
            setup.optimizer.zero_grad()
            loss, _ = loss_and_accuracy(problem, setup.model, to(batch, device, dtype))
            loss.backward()
            drawn = draws != _drawn()
            setup.optimizer.step()
    assert kept is not None
    if changes := kept.changes():
        raise CannotBatch(f"training changes {changes[0].in_words} by itself, which lanes would share")
    if kept.reads_clock:
        raise CannotBatch("its code reads the clock")
    if drawn:
        raise CannotBatch("its forward pass draws random numbers, which lanes would share")


def _drawn() -> tuple[Any, ...]:
    """The state of the global generators."""
    numpy = sys.modules.get("numpy")
    state = torch.default_generator.get_state().numpy().tobytes()
    return state, random.getstate(), repr(numpy.random.get_state(legacy=False)) if numpy else None
