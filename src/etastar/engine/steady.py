"""Whether the user's code remembers something from step to step: lanes that train together, or are forked, may not."""

from __future__ import annotations

import itertools
import operator
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from etastar.core.closures import needs_closure
from etastar.core.data import stream
from etastar.core.kept import Kept
from etastar.core.objective import loss_and_accuracy
from etastar.core.optimizers import SeveralOptimizers
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, seed_everything
from etastar.core.setup import set_up, to
from etastar.engine.reading import next_batch
from etastar.errors import DoesNotApply, call

LR = 1e-3
NUMBERS = (bool, int, float, str, torch.Tensor)
_SEEN: WeakKeyDictionary[Any, tuple[tuple[Any, ...], Memory]] = WeakKeyDictionary()
"""What model functions were seen to remember, with the losses, metrics and optimizer they were seen with."""


@dataclass(frozen=True)
class Memory:
    """What the second of two training steps found changed by the first, beside parameters and the lane's own buffers.

    Args:
        change: a place that holds something else, in words.
        clock: whether the code reads the clock.
        draws: whether the forward pass draws random numbers.
    """

    change: str | None = None
    clock: bool = False
    draws: bool = False

    @property
    def why_not_kept(self) -> str | None:
        """Why a snapshot of parameters, buffers and optimizer would not be all."""
        if self.change is not None:
            return f"training changes {self.change} by itself"
        return "its code reads the clock" if self.clock else None


def refuse_changes(problem: Problem, device: str, dtype: torch.dtype | None) -> None:
    """Refuse code that remembers, or draws, for lanes that train together.

    A kernel that was traced would be frozen in the state of its first forward pass; one that is vectorised would share
    that state among its lanes.

    Raises:
        DoesNotApply: an attribute, a variable, a buffer that is replaced, or a random generator has changed.
    """
    memory = memory_of(problem, device, dtype)
    if memory.why_not_kept:
        raise DoesNotApply(f"{memory.why_not_kept}, which lanes would share")
    if memory.draws:
        raise DoesNotApply("its forward pass draws random numbers, which lanes would share")


def memory_of(problem: Problem, device: str, dtype: torch.dtype | None) -> Memory:
    """What the user's code remembers, found by two training steps (the first may fill caches).

    Once for a model, loss and optimizer.
    """
    beside = (*problem.judges, problem.parts.optimizer)
    with suppress(TypeError):
        known, memory = _SEEN.get(problem.model, ((), Memory()))
        if len(known) == len(beside) and all(map(operator.is_, known, beside)):
            return memory
    memory = _found(problem, device, dtype)
    with suppress(TypeError):  # not every callable can be remembered
        _SEEN[problem.model] = beside, memory
    return memory


def _found(problem: Problem, device: str, dtype: torch.dtype | None) -> Memory:
    seed = derive_seed(0, "steady")
    with closing(stream(problem.parts.batches, seed)) as batches:
        first = next_batch(batches, seed, 0)
        fresh = lambda: set_up(problem, seed, device=device, dtype=dtype, example=first)
        setup = fresh()
        setup.set_lr(LR)
        closures = needs_closure(setup.optimizer, lambda: nullcontext(fresh().optimizer))
        shapes, kept, numbers, drawn = _shapes(setup.model), None, [], False
        for step, batch in enumerate((first, next_batch(batches, seed, 1))):
            kept, numbers = Kept([*problem.judges, setup.model], lanes=setup.model), _beside(setup.optimizer)
            drawn = _step(problem, setup, to(batch, device, dtype), derive_seed(seed, "mask", step, 0), closures)
    assert kept is not None
    changes = [place.in_words for place in kept.changes()]
    changes += [f"the shape of {name!r}" for name, shape in _shapes(setup.model).items() if shape != shapes.get(name)]
    changes += filter(None, [_first_change(numbers, _beside(setup.optimizer))])
    return Memory(changes[0] if changes else None, kept.reads_clock, drawn)


def _step(problem: Problem, setup: Any, batch: Any, seed: int, closures: bool) -> bool:
    """One training step; says whether random numbers were drawn."""
    seed_everything(seed)
    draws = _drawn()
    drawn: list[bool] = []

    def closure() -> torch.Tensor:
        setup.optimizer.zero_grad()
        loss, _ = call("the loss", loss_and_accuracy, problem, setup.model, batch)
        call("loss.backward()", loss.backward)
        drawn.append(draws != _drawn())
        return loss.detach()

    if closures:
        setup.optimizer.step(closure)
    else:
        closure()
        setup.optimizer.step()
    return drawn[0]


def _beside(optimizer: torch.optim.Optimizer) -> list[tuple[str, Any]]:
    """(name, value) of numbers and tensors that an optimizer keeps where no snapshot looks: beside its groups and its
    state of single parameters, in another optimizer that it wraps, say."""
    own = optimizer.own if isinstance(optimizer, SeveralOptimizers) else (optimizer,)
    seen = {id(x) for o in own for x in (o.defaults, o.param_groups, *o.param_groups)}
    seen |= {id(slots) for o in own for p, slots in o.state.items() if isinstance(p, torch.Tensor)}
    return [pair for o in own for pair in _numbers_in(o, type(o).__name__, seen)]


def _numbers_in(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.nn.Parameter) or id(value) in seen:
        return
    if isinstance(value, NUMBERS):
        yield name, value.detach().clone() if isinstance(value, torch.Tensor) else value
        return
    seen.add(id(value))
    inner = vars(value) if isinstance(value, torch.optim.Optimizer) else value
    if isinstance(inner, Mapping):
        for key, item in list(inner.items()):
            yield from _numbers_in(item, f"{name}.{key}" if isinstance(key, str) else name, seen)
    elif isinstance(inner, (list, tuple, deque)):
        for item in inner:
            yield from _numbers_in(item, name, seen)


def _first_change(before: Sequence[tuple[str, Any]], after: Sequence[tuple[str, Any]]) -> str | None:
    """The name of the first number that is another now, or is new."""
    pairs = itertools.zip_longest(before, after, fillvalue=("", None))
    return next((b[0] or a[0] for a, b in pairs if a[0] != b[0] or not _same(a[1], b[1])), None)


def _shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: t.shape for name, t in (*model.named_parameters(), *model.named_buffers())}


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a is b or a == b


def _drawn() -> tuple[Any, ...]:
    """The state of the global generators."""
    numpy = sys.modules.get("numpy")
    legacy = numpy.random.get_state(legacy=True) if numpy else ("", b"", 0)
    return torch.default_generator.get_state().numpy().tobytes(), random.getstate(), bytes(legacy[1]), legacy[2]
