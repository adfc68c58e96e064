"""Lanes that train together run the user's code once for all of them: it may not remember anything from step to step."""

from __future__ import annotations

import random
import sys
from contextlib import closing, suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch

from etastar.core.cannot_batch import CannotBatch
from etastar.core.data import stream
from etastar.core.kept import Kept
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import set_up, to
from etastar.engine.reading import next_batch
from etastar.errors import call

LR = 1e-3
_STEADY: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()
"""Model functions that were seen to be steady, with the losses and metrics they were seen with."""


def refuse_changes(problem: Problem, device: str, dtype: torch.dtype | None) -> None:
    """Take two training steps and see what the second changes (the first may fill caches); once for a model and loss.

    A kernel that was traced would be frozen in the state of its first forward pass; one that is vectorised would share
    that state among its lanes. Parameters, and buffers that change in place, are the lanes' own.

    Raises:
        CannotBatch: an attribute, a variable, a buffer that is replaced, or a random generator has changed.
    """
    with suppress(TypeError):
        if _STEADY.get(problem.model) == problem.judges:
            return
    _refuse_changes(problem, device, dtype)
    with suppress(TypeError):  # not every callable can be remembered
        _STEADY[problem.model] = problem.judges


def _refuse_changes(problem: Problem, device: str, dtype: torch.dtype | None) -> None:
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
            loss, _ = call("the loss", loss_and_accuracy, problem, setup.model, to(batch, device, dtype))
            call("loss.backward()", loss.backward)
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
    legacy = numpy.random.get_state(legacy=True) if numpy else ("", b"", 0)
    return torch.default_generator.get_state().numpy().tobytes(), random.getstate(), bytes(legacy[1]), legacy[2]
