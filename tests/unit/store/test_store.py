"""The store, on both databases: what comes back equals what was trained, nothing is trained twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from etastar import Criterion, Lane, Outcome, Problem, RunStore, StoreError
from etastar.core import LaneStatus, Until
from etastar.engine import LoopEngine
from etastar.policies import Constant
from etastar.problems import builder
from store_cases import EXPLOSIVE, FACTS, STABLE, TRACE, Counting, classifier, lane, open_store, rows, same

# -- round trip --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "lanes"),
    [
        (builder("noisy-quadratic")(), [lane(STABLE), lane(EXPLOSIVE, steps=300), lane(STABLE, seed=2**63 - 1)]),
        (classifier(), [lane(STABLE), lane(1e30), lane(STABLE, steps=7), lane(1e-9, until=Until.SUCCESS)]),
    ],
    ids=["noisy-quadratic", "classifier"],
)
def test_outcomes_come_back_as_they_were(url: str, problem: Problem, lanes: list[Lane]) -> None:
    with closing(open_store(url, problem)) as store:
        fresh = store.get_or_train(LoopEngine(), problem, lanes)
    with closing(open_store(url, problem)) as store:
        engine = Counting()
        stored = store.get_or_train(engine, problem, lanes)
        assert store.new_gradient_steps == 0
    assert engine.trained == []
    assert [o.lane for o in stored] == lanes
    for new, old in zip(fresh, stored, strict=True):
        assert old is not new
        for field in fields(Outcome):
            assert same(getattr(new, field.name), getattr(old, field.name)), field.name
        assert new.trace and new.epochs


def test_the_comparison_above_notices_a_difference(noisy: Problem) -> None:
    (_, outcome), (_, other) = LoopEngine().train(noisy, [lane(STABLE), lane(2 * STABLE)])
    assert same(outcome, replace(outcome))
    assert not same(outcome, other)
    assert not same(outcome, replace(outcome, trace=outcome.trace[:-1]))
    assert not same(outcome, replace(outcome, epochs=(replace(outcome.epochs[0], loss_sd=math.nan),)))
    assert same((math.nan, None), (math.nan, None))
    assert not same(math.nan, None)


NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("loss", NOT_FINITE)
def test_losses_that_are_not_finite_come_back(url: str, noisy: Problem, loss: float) -> None:
    """NaN is stored as NULL and must not come back as None; infinity is kept."""
    (_, outcome), = LoopEngine().train(noisy, [lane(STABLE)])  # fmt: skip
    last = replace(outcome.trace[-1], loss=loss, accuracy=None)
    epoch = replace(outcome.epochs[0], loss_mean=loss, loss_sd=math.nan, accuracy_mean=None, non_finite=True)
    odd = replace(outcome, first_loss=loss, end_loss=loss, trace=(*outcome.trace[:-1], last), epochs=(epoch,))

    class Replays:
        name = "replay"

        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            yield 0, odd

    with closing(open_store(url, noisy)) as store:
        store.get_or_train(Replays(), noisy, [odd.lane])
    with closing(open_store(url, noisy)) as store:
        (stored,) = store.get_or_train(Replays(), noisy, [odd.lane])
        assert store.new_gradient_steps == 0
    assert same(stored, odd)


def test_order_is_the_order_asked(url: str, noisy: Problem) -> None:
    lanes = [lane(STABLE, seed=s, steps=3) for s in (4, 1, 3, 2)]
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(LoopEngine(), noisy, lanes[2:])
        assert [o.lane for o in store.get_or_train(LoopEngine(), noisy, lanes)] == lanes


def test_many_lanes_at_once(url: str, noisy: Problem) -> None:
    """More than a statement may have parameters: 32,766 in SQLite, 65,535 in PostgreSQL, fewer in older ones."""
    (_, outcome), = LoopEngine().train(noisy, [lane(STABLE, steps=1)])  # fmt: skip
    lanes = [lane(STABLE, seed=s, steps=1) for s in range(1200)]

    class Copies:
        name = "copies"

        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            return ((i, replace(outcome, lane=x)) for i, x in enumerate(lanes))

    with closing(open_store(url, noisy)) as store:
        store.get_or_train(Copies(), noisy, lanes)
        stored = store.get_or_train(Copies(), noisy, lanes)
        assert store.new_gradient_steps == len(lanes)
        assert [o.lane for o in stored] == lanes


# -- no lane twice -----------------------------------------------------------------------------------------------------


def test_no_lane_is_trained_twice(url: str, noisy: Problem) -> None:
    engine = Counting()
    first, second, third = (lane(STABLE, seed=s) for s in range(3))
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(engine, noisy, [first, second])
        store.get_or_train(engine, noisy, [second, third, first])
        assert store.new_gradient_steps == 60
    assert engine.trained == [first, second, third]


def test_a_lane_asked_twice_at_once_is_trained_once(url: str, noisy: Problem) -> None:
    engine = Counting()
    with closing(open_store(url, noisy)) as store:
        runs = store.get_or_train(engine, noisy, [lane(STABLE), lane(STABLE)])
    assert engine.trained == [lane(STABLE)]
    assert len(runs) == 2
    assert runs[0] == runs[1]


def test_diverged_lanes_are_kept(url: str, noisy: Problem) -> None:
    engine = Counting()
    for _ in range(2):
        with closing(open_store(url, noisy)) as store:
            (outcome,) = store.get_or_train(engine, noisy, [lane(EXPLOSIVE, steps=300)])
        assert outcome.status is LaneStatus.DIVERGED
        assert 0 < outcome.steps < 300
        assert outcome.epochs[-1].non_finite or not math.isfinite(outcome.end_loss) or outcome.end_loss > outcome.first_loss
    assert len(engine.trained) == 1
    assert rows(url, "SELECT status FROM run") == [("diverged",)]


def test_lanes_already_trained_survive_an_engine_that_dies(url: str, noisy: Problem) -> None:
    class Dies(Counting):
        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            yield from super().train(problem, lanes[:1])
            raise KeyboardInterrupt

    lanes = [lane(STABLE, seed=s) for s in range(2)]
    with closing(open_store(url, noisy)) as store, pytest.raises(KeyboardInterrupt, match=r"^$"):
        store.get_or_train(Dies(), noisy, lanes)
    engine = Counting()
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(engine, noisy, lanes)
    assert engine.trained == lanes[1:]


# -- what is another lane ----------------------------------------------------------------------------------------------

DIFFERENT = {
    "until": {"until": Until.END},
    "rate": {"lr": 0.11},
    "the next rate there is": {"lr": math.nextafter(STABLE, 1)},
    "seed": {"seed": 1},
    "steps": {"steps": 21},
    "loss threshold": {"criterion": Criterion(loss=0.41)},
    "window": {"criterion": Criterion(loss=0.4, window=5)},
}


@pytest.mark.parametrize("changes", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_lane_is_not_served(url: str, noisy: Problem, changes: dict[str, Any]) -> None:
    """Above all: a lane that stopped at its success is not a full run."""
    engine = Counting()
    one = lane(STABLE, until=Until.SUCCESS)
    other = replace(one, **changes)
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(engine, noisy, [one])
        (outcome,) = store.get_or_train(engine, noisy, [other])
    assert engine.trained == [one, other]
    assert outcome.lane == other


def test_a_full_run_is_full(url: str, noisy: Problem) -> None:
    with closing(open_store(url, noisy)) as store:
        stopped, full = store.get_or_train(
            LoopEngine(), noisy, [lane(STABLE, steps=100, until=u) for u in (Until.SUCCESS, Until.END)]
        )
    assert stopped.steps < full.steps == 100
    assert stopped.reached == full.reached == stopped.steps


def test_another_policy_is_another_lane(url: str, noisy: Problem) -> None:
    class Halved(Constant):
        def __repr__(self) -> str:
            return "Halved()"

        def step(self, observation: Any, state: Any) -> tuple[Any, Any]:
            return state / 2, state

    engine = Counting()
    with closing(open_store(url, noisy)) as store:
        full, half = store.get_or_train(engine, noisy, [lane(STABLE), lane(STABLE, policy=Halved())])
    assert len(engine.trained) == 2
    assert half.trace[0].lr == full.trace[0].lr / 2


def test_another_engine_trains_anew(url: str, noisy: Problem) -> None:
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE)])
        store.get_or_train(LoopEngine(dtype=torch.float32), noisy, [lane(STABLE)])
        assert store.new_gradient_steps == 40


# -- what is another problem -------------------------------------------------------------------------------------------


def test_the_same_problem_keeps_its_id(url: str, noisy: Problem) -> None:
    with closing(RunStore(url)) as store:
        first = store.register(noisy, "f" * 32, TRACE, FACTS)
    with closing(RunStore(url)) as store:
        assert store.register(noisy, "f" * 32, TRACE, FACTS) == first
        assert store.register(noisy, "f" * 32, [x * (1 + 1e-9) for x in TRACE], FACTS) == first, "rounding is no change"


CHANGED = {
    "another trace": ("f" * 32, (1.0, 0.51)),
    "a shorter trace": ("f" * 32, (1.0,)),
    "a trace that is NaN": ("f" * 32, (1.0, math.nan)),
    "another fingerprint": ("e" * 32, TRACE),
}


@pytest.mark.parametrize(("fingerprint", "trace"), CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_problem_gets_a_new_id(url: str, noisy: Problem, fingerprint: str, trace: tuple[float, ...]) -> None:
    engine = Counting()
    with closing(open_store(url, noisy)) as store:
        store.get_or_train(engine, noisy, [lane(STABLE)])
        first = store.register(noisy, "f" * 32, TRACE, FACTS)
        assert store.register(noisy, fingerprint, trace, FACTS) != first
        store.get_or_train(engine, noisy, [lane(STABLE)])
    assert len(engine.trained) == 2


def test_both_versions_of_a_problem_are_remembered(url: str, noisy: Problem) -> None:
    with closing(RunStore(url)) as store:
        ids = [store.register(noisy, "f" * 32, trace, FACTS) for trace in ((1.0,), (2.0,), (1.0,), (2.0,), (3.0,))]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 3


def test_a_problem_that_is_not_reproducible_is_never_the_same(url: str, noisy: Problem) -> None:
    with closing(RunStore(url)) as store:
        ids = {store.register(noisy, "f" * 32, TRACE, FACTS, reusable=False) for _ in range(3)}
        assert len(ids) == 3


def test_a_reproducible_problem_does_not_inherit_from_one_that_is_not(url: str, noisy: Problem) -> None:
    """Its lanes gave other losses each time: they answer for nobody."""
    with closing(RunStore(url)) as store:
        loose = store.register(noisy, "f" * 32, TRACE, FACTS, reusable=False)
        assert store.register(noisy, "f" * 32, TRACE, FACTS) != loose


def test_an_unregistered_problem(url: str, noisy: Problem) -> None:
    with closing(RunStore(url)) as store, pytest.raises(StoreError, match=r"not registered.*store\.register"):
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE)])


def test_the_summary_counts(url: str, noisy: Problem) -> None:
    with closing(open_store(url, noisy)) as store:
        assert store.summary() == []
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE), lane(1e-6), lane(EXPLOSIVE, steps=300)])
        (row,) = store.summary()
    assert (row["lanes"], row["optimizer"], row["diverged"]) == (3, "SGD", 1)
    assert row["trained"] + row["diverged"] + row["slow"] + row["dead"] == 3
    assert (row["lr_low"], row["lr_high"]) == (1e-6, EXPLOSIVE)
