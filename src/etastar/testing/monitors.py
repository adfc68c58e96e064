"""What every monitor must do; see `etastar.core.monitor.Monitor`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import torch

from etastar.core.batch import Batch
from etastar.core.data import stream
from etastar.core.modes import start_training
from etastar.core.monitor import Monitor, Readings, check_monitors
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import isolated_randomness, seed_everything
from etastar.core.setup import Setup, set_up
from etastar.errors import DoesNotApply, ProblemError
from etastar.testing.expect import SENTENCE, expect
from etastar.testing.traces import expect_untouched, traces_of

ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")


def check_monitor(monitor: Monitor, problem: Problem, *, seed: int = 0) -> None:
    """Hold that `monitor` keeps the contract of `Monitor` in a short training of `problem`.

    It is a frozen dataclass whose `repr` has all its settings; `init` and a look leave model, buffers, gradients, modes,
    hooks, optimizer and random state bit-identical; it reads the same again from the same state, whatever was drawn or
    looked at since; its readings are (block, quantity, number), each once; where it does not apply it says why.

    Args:
        problem: of parts; three steps of it are trained.
        seed: of the training.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> from etastar.probes.monitors import NormMonitor
    >>> from etastar.problems.quadratic import quadratic
    >>> check_monitor(NormMonitor(every=10), quadratic())
    """
    _is_a_value(monitor)
    lag = getattr(monitor, "lag", 0)
    with _training(problem, seed) as (setup, batch):
        try:
            with _untouched(setup, monitor):
                state = monitor.init(setup, batch)
            for step in sorted({0, lag, monitor.every}):
                state = _look(monitor, step, setup, state)
                _advance(setup, batch, step)
        except DoesNotApply as refusal:
            told = len(str(refusal)) > SENTENCE
            expect(told, f"{monitor!r} does not apply, and says {str(refusal)!r}; expected a sentence that says why")


def _is_a_value(monitor: Monitor) -> None:
    try:
        check_monitors([monitor])
    except ProblemError as error:
        raise AssertionError(str(error)) from error
    settings = {f.name: getattr(monitor, f.name) for f in fields(monitor)} if is_dataclass(monitor) else {}
    try:
        monitor.every = monitor.every  # type: ignore[misc]
        frozen = False
    except FrozenInstanceError:
        frozen = True
    expect(bool(settings) and frozen, f"{monitor!r} can be written to; expected @dataclass(frozen=True)")
    twin = type(monitor)(**settings)
    expect(hash(twin) == hash(monitor), f"another {monitor!r} has another hash; expected @dataclass(frozen=True)")
    said = repr(monitor)
    whole = all(f"{name}={value!r}" in said for name, value in settings.items()) and not ADDRESS.search(said)
    expect(whole, f"the repr {said} is not all its settings; expected them, for under it readings are stored")


@contextmanager
def _training(problem: Problem, seed: int) -> Iterator[tuple[Setup, Batch]]:
    """A training before its first update, with the gradient there, and its first batch."""
    with isolated_randomness(), closing(stream(problem.parts.batches, seed)) as batches:
        seed_everything(seed)
        batch = next(batches)
        setup = set_up(problem, seed, example=batch)
        start_training(setup.model, setup.optimizer)
        _gradient(setup, batch)
        yield setup, batch


def _gradient(setup: Setup, batch: Batch) -> None:
    assert setup.problem is not None
    setup.optimizer.zero_grad()
    loss_and_accuracy(setup.problem, setup.model, batch)[0].backward()


def _advance(setup: Setup, batch: Batch, step: int) -> None:
    """An ordinary step, and the next one's gradient."""
    seed_everything(step)
    setup.optimizer.step()
    _gradient(setup, batch)


@contextmanager
def _untouched(setup: Setup, monitor: Monitor) -> Iterator[None]:
    assert setup.problem is not None
    before = traces_of(setup.model, setup.optimizer, setup.problem.loss)
    yield
    expect_untouched(before, traces_of(setup.model, setup.optimizer, setup.problem.loss), repr(monitor))


def _look(monitor: Monitor, step: int, setup: Setup, state: Any) -> Any:
    """The state of the next look, having held that a look is pure; twice more, from the same state."""
    with _untouched(setup, monitor), torch.no_grad():  # as rows are stepped
        read, after = monitor.look(step, setup, state)
    _are_readings(monitor, read)
    torch.rand(5)
    for what in ("the second time", "once a later look had its state"):
        again, _ = monitor.look(step, setup, state)
        expect(repr(again) == repr(read), f"{monitor!r} read other values {what}; expected a pure function of its state")
        monitor.look(step + monitor.every, setup, after)
    return after


def _are_readings(monitor: Monitor, read: Readings) -> None:
    for row in read:
        fits = len(row) == 3 and isinstance(row[0], str) and isinstance(row[1], str) and isinstance(row[2], float)
        expect(fits, f"{monitor!r} read {row!r}; expected (block, quantity, value): two words and a float")
    places = {row[:2] for row in read}
    expect(len(places) == len(read), f"{monitor!r} read a quantity of a block twice in a look; expected each once")
