"""A lane in which the user's code raises is one failed lane: its status and text are kept, the others are measured."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from jsonschema import validate
from torch import nn

import etastar
from etastar import Criterion, Lane, LaneEngine, Options, Outcome, Problem, Runs
from etastar.core import LaneStatus, Until
from etastar.core.design import Plan, run
from etastar.designs.fixed_lanes import FixedLanes
from etastar.engine import LoopEngine
from etastar.engine.sequential import SequentialEngine
from etastar.engine.workers import WorkerEngine
from etastar.errors import UserCodeRaised
from etastar.store.run_store import RunStore

LIMIT, CURVATURE = 3.0, 1.0
RATES = (0.1, 1.0, 1.9, 2.2, 3.0)
SEEDS = (0, 1)
STEPS = 40
HERE = Options(store=":memory:", workers=1)


class Slope(nn.Module):
    """One parameter at 1; it refuses to go beyond `LIMIT`."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        if abs(self.w.item()) > LIMIT:
            raise ArithmeticError("too far")
        return self.w * x


def slope(**changes) -> Problem:
    """loss = w^2 / 2, so that w <- (1 - lr) w."""
    given = {
        "model": Slope,
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "loss": lambda o, t: 0.5 * CURVATURE * o.square().mean(),
        "train": (torch.ones(8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)),
        "batch_size": 4,
        "steps": STEPS,
        "loss_threshold": 0.05,
        "name": "slope",
    }
    return Problem(**{**given, **changes})


def by_hand(lr: float) -> tuple[LaneStatus, int]:
    """(status, steps taken) of one lane until its end."""
    w = 1.0
    for step in range(STEPS):
        if abs(w) > LIMIT:
            return LaneStatus.RAISED, step
        w -= lr * CURVATURE * w
    return (LaneStatus.TRAINED if 0.5 * w * w < 0.05 else LaneStatus.SLOW), STEPS


def lanes() -> list[Lane]:
    criterion = Criterion(loss=0.05, uninformed=0.5)
    return [Lane(lr, seed, STEPS, criterion, Until.END) for lr in RATES for seed in SEEDS]


@pytest.mark.parametrize("engine", [LoopEngine(), SequentialEngine(), LaneEngine("vmap", 4)], ids=lambda e: e.name)
def test_each_engine_ends_the_lanes_that_raise_where_a_plain_loop_does(engine) -> None:
    found = dict(engine.train(slope(), lanes()))
    assert [(found[i].status, found[i].steps) for i in range(len(found))] == [by_hand(lane.lr) for lane in lanes()]
    raised = [o for o in found.values() if o.status is LaneStatus.RAISED]
    assert {o.lane.lr for o in raised} == {2.2, 3.0}
    for o in raised:
        assert o.error is not None and o.error.startswith("your code raised ArithmeticError: too far (")
        assert o.first_loss == 0.5 and not o.trained and o.broken and math.isfinite(o.end_loss)


def test_worker_processes_bring_the_same_outcomes() -> None:
    with WorkerEngine(2) as engine:
        found = dict(engine.train(slope(), lanes()))
    assert [(found[i].status, found[i].steps) for i in range(len(found))] == [by_hand(lane.lr) for lane in lanes()]


def factor(outputs, targets):
    """Cross-entropy, and a Cholesky factor that does not exist once outputs are far apart."""
    spread = outputs.std(0, correction=0).square()
    torch.linalg.cholesky(torch.diag_embed(40.0 - spread))
    return F.cross_entropy(outputs, targets)


def test_an_exception_in_a_chunk_leaves_the_other_lanes_with_the_loops_outcomes() -> None:
    x = torch.randn(64, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (x[:, 0] > 0).long()
    problem = Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).double(),
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        loss=factor,
        train=(x, y),
        batch_size=16,
        steps=30,
    )
    criterion = Criterion(uninformed=0.7)
    asked = [Lane(lr, 3, 30, criterion, Until.END) for lr in (0.01, 0.1, 1.0, 60.0, 100.0)]
    loop = dict(LoopEngine().train(problem, asked))
    together = dict(LaneEngine("mlp", 8).train(problem, asked))
    assert LaneStatus.RAISED in {o.status for o in loop.values()} and LaneStatus.TRAINED in {o.status for o in loop.values()}
    for i in range(len(asked)):
        assert (together[i].status, together[i].steps, together[i].error) == (loop[i].status, loop[i].steps, loop[i].error)
        assert [r.loss for r in together[i].trace] == pytest.approx([r.loss for r in loop[i].trace], rel=1e-9)


def test_what_is_raised_after_nan_belongs_to_the_divergence() -> None:
    class Blows(Slope):
        def forward(self, x):
            assert torch.isfinite(self.w), "not finite"
            return self.w * x

    lane = Lane(0.1, 0, STEPS, Criterion(loss=-1.0, uninformed=0.5), Until.END)
    steep = slope(model=Blows, loss=lambda o, t: (o - 1).abs().sqrt().mean())  # at w = 1 it is 0 and its slope NaN
    outcome = LoopEngine().train_lane(steep, lane)
    assert outcome.status is LaneStatus.DIVERGED and outcome.error is None


class Picky(torch.optim.SGD):
    def step(self, closure=None):
        if self.param_groups[0]["lr"] > 1.95:
            raise ValueError("rate too large for me")
        super().step(closure)


def test_find_answers_with_the_flag_the_first_text_and_the_counts() -> None:
    problem = slope(optimizer=lambda m: Picky(m.parameters(), lr=1.0))
    answer = etastar.find(problem, effort="quick", options=HERE)
    assert answer.lr.ok and answer.lr.require() < 1.95 and "raised" in answer.flags
    raised = [o for o in answer.runs if o.status is LaneStatus.RAISED]
    content = answer.to_json()
    assert content["raised"]["lanes"] == len(raised) > 0 and content["raised"]["lr_low"] > 1.95
    assert content["raised"]["first"].startswith("your code raised ValueError: rate too large for me")
    schema = Path(etastar.__file__).parent / "cli" / "find.schema.json"
    validate(content, json.loads(schema.read_text()))


def test_eta_star_lies_below_the_rates_that_raise() -> None:
    """Every lane above 1.95 raises, every lane at 1.9 trains: (1 - 1.9)^2 shrinks."""
    problem = slope(optimizer=lambda m: Picky(m.parameters(), lr=1.0))
    band = etastar.eta_star(problem, options=HERE).band
    assert band.eta_star.ok and 1.5 < band.eta_star.require() < 2.5
    above = [r for r in band.rates if r.lr > 1.96]
    assert above and all(r.raised == r.runs and r.trained == 0 for r in above)


def test_raised_lanes_are_trained_again_and_all_others_come_from_the_store(tmp_path: Path) -> None:
    problem = slope(optimizer=lambda m: Picky(m.parameters(), lr=1.0))
    options = Options(store=str(tmp_path / "runs.db"), workers=1)
    first = etastar.find(problem, effort="quick", options=options)
    again: list[tuple[Outcome, bool]] = []
    second = etastar.find(
        problem, effort="quick", options=Options(**{**vars(options), "on_outcome": lambda o, new: again.append((o, new))})
    )
    assert second.lr == first.lr and second.flags == first.flags
    assert {o.status is LaneStatus.RAISED for o, new in again if new} == {True}
    assert {o.status is LaneStatus.RAISED for o, new in again if not new} == {False}
    store = RunStore(str(tmp_path / "runs.db"))
    (row,) = store.summary()
    store.close()
    assert row["lanes"] == len({o.lane for o in first.runs if o.status is not LaneStatus.RAISED})


def test_a_trial_with_a_lane_that_raised_is_not_the_best() -> None:
    problem = slope(optimizer=lambda m: Picky(m.parameters(), lr=1.0))
    space = {"lr": {"choices": [0.01, 1.0, 2.5]}}
    answer = etastar.search(problem, sampler="grid", trials=3, space=space, options=HERE)
    assert answer.best is not None and answer.best.lr == 1.0 and "raised" in answer.flags
    (lost,) = [t for t in answer.trials if t.diverged]
    assert lost.lr == pytest.approx(2.5, rel=2e-3) and lost.loss == 1.0  # twice its first loss


# -- when it is no matter of the rate ----------------------------------------------------------------------------------


@dataclass
class Scripted:
    """Asks these lanes once and answers how many it was told."""

    lanes: list[Lane]
    told: list[Outcome] = field(default_factory=list)

    def planned(self) -> Plan:
        return FixedLanes(self.lanes).planned()

    def ask(self) -> list[Lane]:
        return [] if self.told else self.lanes

    def tell(self, outcomes: Runs) -> None:
        self.told += outcomes

    def stop(self, flag: str) -> None:
        self.lanes = []

    def answer(self) -> int:
        return len(self.told)


class Untouched:
    """A store that keeps nothing."""

    def get_or_train(self, engine, problem, lanes) -> Runs:
        found = dict(engine.train(problem, lanes))
        return Runs(found[i] for i in range(len(lanes)))


class Choosy(torch.optim.SGD):
    bad: tuple[float, ...] = ()

    def step(self, closure=None):
        if any(math.isclose(self.param_groups[0]["lr"], lr) for lr in self.bad):
            raise ValueError("not this one")
        super().step(closure)


def ran(*bad: float) -> int:
    optimizer = type("Own", (Choosy,), {"bad": bad})
    problem = slope(optimizer=lambda m: optimizer(m.parameters(), lr=0.1))
    return run(Scripted([lane for lane in lanes() if lane.lr < 2]), problem, LoopEngine(), Untouched())


def test_lanes_at_higher_rates_may_raise() -> None:
    assert ran() == ran(1.9) == ran(1.0, 1.9) == 6


@pytest.mark.parametrize("bad", [(0.1,), (0.1, 1.9), (0.1, 1.0, 1.9)])
def test_the_lowest_rate_or_all_of_them_raising_is_the_users_fault(bad: tuple[float, ...]) -> None:
    with pytest.raises(UserCodeRaised, match=r"^your code raised ValueError: not this one \(.*in optimizer.step\(\)\)$"):
        ran(*bad)


def test_factories_data_and_validation_are_fatal() -> None:
    """They know nothing of the rate."""
    calls = [0]

    def model() -> nn.Module:
        calls[0] += 1
        if calls[0] > 3:
            raise OSError("no weights")
        return Slope()

    with pytest.raises(UserCodeRaised, match=r"no weights .*in model\(\)\)$"):
        list(LoopEngine().train(slope(model=model), lanes()))

    class Rows(torch.utils.data.Dataset):
        def __init__(self, bad: int) -> None:
            self.bad = bad

        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int):
            if index == self.bad:
                raise OSError("corrupt")
            return torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)

    with pytest.raises(UserCodeRaised, match=r"corrupt .*in reading a training batch\)$"):
        list(LoopEngine().train(slope(train=Rows(7)), lanes()))
    with pytest.raises(UserCodeRaised, match=r"corrupt .*in reading a validation batch\)$"):
        list(LoopEngine().train(slope(valid=Rows(7)), lanes()))


def test_want_of_memory_in_a_lane_is_fatal() -> None:
    class Greedy(Slope):
        def forward(self, x):
            raise MemoryError("no more")

    with pytest.raises(etastar.ProblemError, match=r"your code raised MemoryError: no more .*use a smaller batch"):
        LoopEngine().train_lane(slope(model=Greedy), lanes()[0])
