"""What every store must do; see `etastar.core.design.Store`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from etastar.core.design import Store
from etastar.core.lane import Criterion, EpochRow, Lane, LaneStatus, Outcome, StepRow, Until
from etastar.core.problem import Problem
from etastar.testing.expect import expect
from etastar.testing.synthetic import SyntheticEngine


class Interrupted(BaseException):
    """What a `_Tape` raises where somebody pressed Ctrl-C."""


@dataclass
class _Tape:
    """An engine that plays outcomes, counts the lanes it was asked for, and may be interrupted."""

    outcomes: Mapping[Lane, Outcome]
    name: str = "tape"
    ends_after: int | None = None
    trained: list[Lane] = field(default_factory=list)

    def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        for number, index in enumerate(reversed(range(len(lanes)))):  # lanes finish in any order
            if number == self.ends_after:
                raise Interrupted
            self.trained.append(lanes[index])
            yield index, self.outcomes[lanes[index]]


def check_store(open_store: Callable[[], Store], problem: Problem) -> None:
    """Hold that a store keeps the contract of `Store`, in this opening and in the next.

    Outcomes come back in the order asked, down to every field, not-a-number and infinity included; no lane is trained twice
    under one engine's name, and each is under another; a lane asked twice at once is trained once; what was trained before
    an interruption is kept; a lane in which the user's code raised is not.

    Args:
        open_store: opens the same store each time; the first time it is empty. It must know `problem`.
        problem: whose lanes they are.

    Raises:
        AssertionError: it does not; the sentence says what was expected.

    >>> import etastar
    >>> from etastar.problems import builder
    >>> problem, store = builder("quadratic")(), etastar.RunStore(":memory:")
    >>> _ = store.register(problem, "f" * 32, (1.0, 0.5), {})
    >>> check_store(lambda: store, problem)
    """
    tape = _Tape(_outcomes())
    lanes = list(tape.outcomes)
    _is_interrupted(open_store, problem, tape, lanes)
    _holds(open_store(), problem, tape, lanes)
    expect(sorted(map(repr, tape.trained)) == sorted(map(repr, lanes)), "a lane was trained twice; expected each once")
    _holds(open_store(), problem, tape, lanes)
    expect(len(tape.trained) == len(lanes), "a lane was trained again in the next opening; expected it to be stored")
    other = _Tape(tape.outcomes, name="another")
    open_store().get_or_train(other, problem, [lanes[0], lanes[0]])
    n = len(other.trained)
    expect(n == 1, f"a lane asked twice at once of another engine was trained {n} times; expected once")
    _forgets_what_raised(open_store, problem, lanes[0])


def _outcomes() -> dict[Lane, Outcome]:
    """Every kind of lane, and numbers that are hard to keep."""
    engine, criterion = SyntheticEngine(), Criterion(loss=2.0)
    lanes = [
        Lane(lr, seed, 20, criterion, until)
        for lr in (0.1, 1e-9, 1e8)
        for seed in (0, 2**63 - 1)
        for until in (Until.END, Until.SUCCESS)
    ]
    found = {lane: engine.outcome(lane) for lane in lanes}
    odd = (math.nan, math.inf, -math.inf)
    for lane, number in zip(lanes, odd, strict=False):
        row = StepRow(0, lane.lr, number, None, 1.5)
        epoch = EpochRow(0, 0, 20, lane.lr, lane.lr, 20 * lane.lr, 20 * lane.lr**2, number, math.nan, None, None, None, True)
        found[lane] = replace(found[lane], first_loss=number, end_loss=number, trace=(row,), epochs=(epoch,))
    return found


def _is_interrupted(open_store: Callable[[], Store], problem: Problem, tape: _Tape, lanes: Sequence[Lane]) -> None:
    tape.ends_after = 2
    try:
        open_store().get_or_train(tape, problem, lanes)
    except Interrupted:
        tape.ends_after = None
    else:
        raise AssertionError("an interruption while lanes train did not get out of the store; expected it to be raised")


def _holds(store: Store, problem: Problem, tape: _Tape, lanes: Sequence[Lane]) -> None:
    told = list(store.get_or_train(tape, problem, lanes))
    expect(
        [o.lane for o in told] == list(lanes), "outcomes came in another order than their lanes; expected the order asked"
    )
    for outcome in told:
        for name in (f.name for f in fields(Outcome)):
            ours, theirs = getattr(tape.outcomes[outcome.lane], name), getattr(outcome, name)
            same = _same(ours, theirs)
            expect(same, f"{name} of {outcome.lane!r} came back as {theirs!r}; expected {ours!r}")


def _forgets_what_raised(open_store: Callable[[], Store], problem: Problem, lane: Lane) -> None:
    raised = replace(lane, steps=7)
    outcome = Outcome(raised, LaneStatus.RAISED, None, 3, 1.0, 1.0, error="ValueError: mine")
    tape = _Tape({raised: outcome})
    for _ in range(2):
        open_store().get_or_train(tape, problem, [raised])
    expect(len(tape.trained) == 2, "a lane in which the user's code raised was stored; expected it to be trained again")


def _same(a: Any, b: Any) -> bool:
    """Equality down to every field, where NaN equals NaN, and 1 is not 1.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (StepRow, EpochRow)):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b
