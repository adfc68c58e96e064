"""The store on disk: what comes back equals what was trained, nothing is trained twice, two processes can share a file."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from etastar import Constant, Criterion, Lane, LaneStatus, LoopEngine, Outcome, Problem, RunStore, StoreError, Until
from etastar.problems import builder

CRITERION = Criterion(loss=0.4)
STABLE, EXPLOSIVE = 0.1, 1e8
FACTS = {"optimizer": "SGD"}
TRACE = (1.0, 0.5)


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


def open_store(path: Path, problem: Problem, *, trace: Sequence[float] = TRACE, **options: Any) -> RunStore:
    store = RunStore(path)
    store.register(problem, "f" * 32, trace, FACTS, **options)
    return store


@pytest.fixture
def noisy() -> Problem:
    return builder("noisy-quadratic")()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


# -- round trip --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "lanes"),
    [
        (builder("noisy-quadratic")(), [lane(STABLE), lane(EXPLOSIVE, steps=300), lane(STABLE, seed=2**63 - 1)]),
        (classifier(), [lane(STABLE), lane(1e30), lane(STABLE, steps=7), lane(1e-9, until=Until.SUCCESS)]),
    ],
    ids=["noisy-quadratic", "classifier"],
)
def test_outcomes_come_back_as_they_were(path: Path, problem: Problem, lanes: list[Lane]) -> None:
    with closing(open_store(path, problem)) as store:
        fresh = store.get_or_train(LoopEngine(), problem, lanes)
    with closing(open_store(path, problem)) as store:
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
def test_losses_that_are_not_finite_come_back(path: Path, noisy: Problem, loss: float) -> None:
    """NaN is NULL in SQLite and must not come back as None; infinity is kept."""
    (_, outcome), = LoopEngine().train(noisy, [lane(STABLE)])  # fmt: skip
    last = replace(outcome.trace[-1], loss=loss, accuracy=None)
    epoch = replace(outcome.epochs[0], loss_mean=loss, loss_sd=math.nan, accuracy_mean=None, non_finite=True)
    odd = replace(outcome, first_loss=loss, end_loss=loss, trace=(*outcome.trace[:-1], last), epochs=(epoch,))

    class Replays:
        name = "replay"

        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            yield 0, odd

    with closing(open_store(path, noisy)) as store:
        store.get_or_train(Replays(), noisy, [odd.lane])
    with closing(open_store(path, noisy)) as store:
        (stored,) = store.get_or_train(Replays(), noisy, [odd.lane])
        assert store.new_gradient_steps == 0
    assert same(stored, odd)


def test_order_is_the_order_asked(path: Path, noisy: Problem) -> None:
    lanes = [lane(STABLE, seed=s, steps=3) for s in (4, 1, 3, 2)]
    with closing(open_store(path, noisy)) as store:
        store.get_or_train(LoopEngine(), noisy, lanes[2:])
        assert [o.lane for o in store.get_or_train(LoopEngine(), noisy, lanes)] == lanes


def test_many_lanes_at_once(path: Path, noisy: Problem) -> None:
    """More than SQLite once allowed as parameters of one statement."""
    (_, outcome), = LoopEngine().train(noisy, [lane(STABLE, steps=1)])  # fmt: skip
    lanes = [lane(STABLE, seed=s, steps=1) for s in range(1200)]

    class Copies:
        name = "copies"

        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            return ((i, replace(outcome, lane=x)) for i, x in enumerate(lanes))

    with closing(open_store(path, noisy)) as store:
        store.get_or_train(Copies(), noisy, lanes)
        stored = store.get_or_train(Copies(), noisy, lanes)
        assert store.new_gradient_steps == len(lanes)
        assert [o.lane for o in stored] == lanes


# -- no lane twice -----------------------------------------------------------------------------------------------------


def test_no_lane_is_trained_twice(path: Path, noisy: Problem) -> None:
    engine = Counting()
    first, second, third = (lane(STABLE, seed=s) for s in range(3))
    with closing(open_store(path, noisy)) as store:
        store.get_or_train(engine, noisy, [first, second])
        store.get_or_train(engine, noisy, [second, third, first])
        assert store.new_gradient_steps == 60
    assert engine.trained == [first, second, third]


def test_a_lane_asked_twice_at_once_is_trained_once(path: Path, noisy: Problem) -> None:
    engine = Counting()
    with closing(open_store(path, noisy)) as store:
        runs = store.get_or_train(engine, noisy, [lane(STABLE), lane(STABLE)])
    assert engine.trained == [lane(STABLE)]
    assert len(runs) == 2
    assert runs[0] == runs[1]


def test_diverged_lanes_are_kept(path: Path, noisy: Problem) -> None:
    engine = Counting()
    for _ in range(2):
        with closing(open_store(path, noisy)) as store:
            (outcome,) = store.get_or_train(engine, noisy, [lane(EXPLOSIVE, steps=300)])
        assert outcome.status is LaneStatus.DIVERGED
        assert 0 < outcome.steps < 300
        assert outcome.epochs[-1].non_finite or not math.isfinite(outcome.end_loss) or outcome.end_loss > outcome.first_loss
    assert len(engine.trained) == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT status FROM run").fetchall() == [("diverged",)]


def test_lanes_already_trained_survive_an_engine_that_dies(path: Path, noisy: Problem) -> None:
    class Dies(Counting):
        def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
            yield from super().train(problem, lanes[:1])
            raise KeyboardInterrupt

    lanes = [lane(STABLE, seed=s) for s in range(2)]
    with closing(open_store(path, noisy)) as store, pytest.raises(KeyboardInterrupt, match=r"^$"):
        store.get_or_train(Dies(), noisy, lanes)
    engine = Counting()
    with closing(open_store(path, noisy)) as store:
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
def test_another_lane_is_not_served(path: Path, noisy: Problem, changes: dict[str, Any]) -> None:
    """Above all: a lane that stopped at its success is not a full run."""
    engine = Counting()
    one = lane(STABLE, until=Until.SUCCESS)
    other = replace(one, **changes)
    with closing(open_store(path, noisy)) as store:
        store.get_or_train(engine, noisy, [one])
        (outcome,) = store.get_or_train(engine, noisy, [other])
    assert engine.trained == [one, other]
    assert outcome.lane == other


def test_a_full_run_is_full(path: Path, noisy: Problem) -> None:
    with closing(open_store(path, noisy)) as store:
        stopped, full = store.get_or_train(
            LoopEngine(), noisy, [lane(STABLE, steps=100, until=u) for u in (Until.SUCCESS, Until.END)]
        )
    assert stopped.steps < full.steps == 100
    assert stopped.reached == full.reached == stopped.steps


def test_another_policy_is_another_lane(path: Path, noisy: Problem) -> None:
    class Halved(Constant):
        def __repr__(self) -> str:
            return "Halved()"

        def step(self, observation: Any, state: Any) -> tuple[Any, Any]:
            return state / 2, state

    engine = Counting()
    with closing(open_store(path, noisy)) as store:
        full, half = store.get_or_train(engine, noisy, [lane(STABLE), lane(STABLE, policy=Halved())])
    assert len(engine.trained) == 2
    assert half.trace[0].lr == full.trace[0].lr / 2


def test_another_engine_trains_anew(path: Path, noisy: Problem) -> None:
    with closing(open_store(path, noisy)) as store:
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE)])
        store.get_or_train(LoopEngine(dtype=torch.float32), noisy, [lane(STABLE)])
        assert store.new_gradient_steps == 40


# -- what is another problem -------------------------------------------------------------------------------------------


def test_the_same_problem_keeps_its_id(path: Path, noisy: Problem) -> None:
    with closing(RunStore(path)) as store:
        first = store.register(noisy, "f" * 32, TRACE, FACTS)
    with closing(RunStore(path)) as store:
        assert store.register(noisy, "f" * 32, TRACE, FACTS) == first
        assert store.register(noisy, "f" * 32, [x * (1 + 1e-9) for x in TRACE], FACTS) == first, "rounding is no change"


CHANGED = {
    "another trace": ("f" * 32, (1.0, 0.51)),
    "a shorter trace": ("f" * 32, (1.0,)),
    "a trace that is NaN": ("f" * 32, (1.0, math.nan)),
    "another fingerprint": ("e" * 32, TRACE),
}


@pytest.mark.parametrize(("fingerprint", "trace"), CHANGED.values(), ids=CHANGED.keys())
def test_a_changed_problem_gets_a_new_id(path: Path, noisy: Problem, fingerprint: str, trace: tuple[float, ...]) -> None:
    engine = Counting()
    with closing(open_store(path, noisy)) as store:
        store.get_or_train(engine, noisy, [lane(STABLE)])
        first = store.register(noisy, "f" * 32, TRACE, FACTS)
        assert store.register(noisy, fingerprint, trace, FACTS) != first
        store.get_or_train(engine, noisy, [lane(STABLE)])
    assert len(engine.trained) == 2


def test_both_versions_of_a_problem_are_remembered(path: Path, noisy: Problem) -> None:
    with closing(RunStore(path)) as store:
        ids = [store.register(noisy, "f" * 32, trace, FACTS) for trace in ((1.0,), (2.0,), (1.0,), (2.0,), (3.0,))]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 3


def test_a_problem_that_is_not_reproducible_is_never_the_same(path: Path, noisy: Problem) -> None:
    with closing(RunStore(path)) as store:
        ids = {store.register(noisy, "f" * 32, TRACE, FACTS, reusable=False) for _ in range(3)}
        assert len(ids) == 3


def test_a_reproducible_problem_does_not_inherit_from_one_that_is_not(path: Path, noisy: Problem) -> None:
    """Its lanes gave other losses each time: they answer for nobody."""
    with closing(RunStore(path)) as store:
        loose = store.register(noisy, "f" * 32, TRACE, FACTS, reusable=False)
        assert store.register(noisy, "f" * 32, TRACE, FACTS) != loose


def test_an_unregistered_problem(path: Path, noisy: Problem) -> None:
    with closing(RunStore(path)) as store, pytest.raises(StoreError, match=r"not registered.*store\.register"):
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE)])


# -- two at once -------------------------------------------------------------------------------------------------------


def test_two_open_stores_can_both_write(path: Path, noisy: Problem) -> None:
    one, two = lane(STABLE, seed=1), lane(STABLE, seed=2)
    with closing(open_store(path, noisy)) as a, closing(open_store(path, noisy)) as b:
        a.get_or_train(LoopEngine(), noisy, [one])
        b.get_or_train(LoopEngine(), noisy, [two])
        engine = Counting()
        for store in (a, b):
            assert len(store.get_or_train(engine, noisy, [one, two])) == 2
        assert engine.trained == []


def test_two_stores_can_train_the_same_lane_at_once(path: Path, noisy: Problem) -> None:
    """The one that comes second is no error, and leaves one row."""
    with closing(open_store(path, noisy)) as a, closing(open_store(path, noisy)) as b:

        class Meanwhile(Counting):
            def train(self, problem: Problem, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
                b.get_or_train(LoopEngine(), problem, lanes)
                yield from super().train(problem, lanes)

        a.get_or_train(Meanwhile(), noisy, [lane(STABLE)])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
        assert connection.execute("SELECT count(*), count(DISTINCT step) FROM step").fetchone() == (20, 20)


def test_new_problems_of_one_fingerprint_registered_by_two_stores_at_once_stay_apart(path: Path, noisy: Problem) -> None:
    """An id made by counting rows would be given twice; both must be readable and different afterwards."""
    with closing(RunStore(path)) as a, closing(RunStore(path)) as b:
        ids = [a.register(noisy, "f" * 32, (1.0,), FACTS), b.register(noisy, "f" * 32, (2.0,), FACTS)]
        assert len(set(ids)) == 2
        assert [b.register(noisy, "f" * 32, (1.0,), FACTS), a.register(noisy, "f" * 32, (2.0,), FACTS)] == ids


def test_a_store_in_memory_is_its_own(noisy: Problem) -> None:
    engine = Counting()
    for _ in range(2):
        with closing(RunStore(":memory:")) as store:
            store.register(noisy, "f" * 32, TRACE, FACTS)
            store.get_or_train(engine, noisy, [lane(STABLE)])
            store.get_or_train(engine, noisy, [lane(STABLE)])
    assert len(engine.trained) == 2


@pytest.mark.parametrize("form", [str, Path, "sqlite:///{}".format], ids=["text", "path", "url"])
def test_the_forms_of_a_file(path: Path, noisy: Problem, form: Any) -> None:
    with closing(RunStore(form(path))) as store:
        store.register(noisy, "f" * 32, TRACE, FACTS)
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE, steps=1)])
    with closing(RunStore(path)) as store:
        assert [row["lanes"] for row in store.summary()] == [1]


@pytest.mark.parametrize("name", ["with space.db", "with?question.db", "with#hash.db", "with%20percent.db", "ä.db"])
def test_odd_file_names(tmp_path: Path, noisy: Problem, name: str) -> None:
    for _ in range(2):
        with closing(open_store(tmp_path / name, noisy)) as store:
            store.get_or_train(LoopEngine(), noisy, [lane(STABLE, steps=1)])
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_the_summary_counts(path: Path, noisy: Problem) -> None:
    with closing(open_store(path, noisy)) as store:
        assert store.summary() == []
        store.get_or_train(LoopEngine(), noisy, [lane(STABLE), lane(1e-6), lane(EXPLOSIVE, steps=300)])
        (row,) = store.summary()
    assert (row["lanes"], row["optimizer"], row["diverged"]) == (3, "SGD", 1)
    assert row["trained"] + row["diverged"] + row["slow"] + row["dead"] == 3
    assert (row["lr_low"], row["lr_high"]) == (1e-6, EXPLOSIVE)


def test_the_folder_of_the_default_store_is_ignored_by_git(tmp_path: Path) -> None:
    with closing(RunStore(tmp_path / ".etastar" / "runs.db")):
        assert (tmp_path / ".etastar" / ".gitignore").read_text() == "*\n"
