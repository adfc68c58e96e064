"""What every monitor must do, on every kind of problem: readings or a reason, twice the same, and no trace."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from catalog import MONITORS, OPTIMIZERS
from etastar import Criterion, Lane, LaneEngine, PerGroup, Problem, ProblemError, Then, Times
from etastar.core import Until
from etastar.core.data import stream
from etastar.core.modes import start_training
from etastar.core.monitor import REFUSED
from etastar.core.objective import loss_and_accuracy
from etastar.core.randomness import isolated_randomness, seed_everything
from etastar.core.setup import Setup, set_up
from etastar.core.snapshot import Snapshot
from etastar.engine import LoopEngine
from etastar.engine.looks import Looks
from etastar.errors import DoesNotApply
from etastar.policies import Constant
from etastar.probes.monitors.named import MONITORS as MAKERS
from etastar.probes.monitors.named import monitors_over
from etastar.testing import check_monitor
from etastar.testing.traces import Traces, expect_untouched, traces_of

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(96, 6, generator=GENERATOR)
Y = (X @ torch.randn(6, 3, generator=GENERATOR)).argmax(1)


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(16, 3))


def batchnorm() -> nn.Module:
    frozen = nn.BatchNorm1d(8).eval()
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.BatchNorm2d(4), nn.Flatten(), frozen, nn.Linear(8, 3)
    )


def hooked() -> nn.Module:
    model = dropout()
    model[3].register_forward_hook(lambda module, args, z: 0.5 * z)
    model[3].register_full_backward_hook(lambda module, inputs, outputs: None)
    return model


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 12, dropout=0.1, batch_first=True, norm_first=True)
    return nn.Sequential(nn.Unflatten(1, (1, 6)), layer, nn.Flatten(), nn.Linear(6, 3))


class Annealed(nn.Module):
    """A loss that remembers how often it was called, and draws."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return F.cross_entropy(z + 0.01 * torch.randn_like(z), y) + 0.0 * self.calls


def by_key(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(model(batch["x"]), batch["y"])


def problem(model, **changes) -> Problem:
    settings = {"optimizer": OPTIMIZERS["momentum"], "loss": F.cross_entropy, "train": (X, Y), "batch_size": 16, "steps": 20}
    return Problem(model=model, **(settings | changes))


LOADER = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(7))
PROBLEMS = {
    "dropout": problem(dropout),
    "BatchNorm": problem(batchnorm, optimizer=OPTIMIZERS["AdamW, groups"]),
    "hooks": problem(hooked, optimizer=OPTIMIZERS["Adam, tensor lr"]),
    "transformer": problem(transformer, optimizer=OPTIMIZERS["Adam"]),
    "a loss that remembers": problem(dropout, loss=Annealed()),
    "dict batches": problem(dropout, loss=None, loss_fn=by_key, train={"x": X, "y": Y}),
    "a loader of one's own": problem(dropout, train=LOADER, batch_size=None),
    "batch size 1": problem(dropout, batch_size=1),
}


def trace(setup: Setup) -> Traces:
    return traces_of(setup.model, setup.optimizer, setup.problem.loss)


def in_the_midst(name: str, steps: int = 3) -> tuple[Setup, object]:
    """A setup after `steps` ordinary steps, with the gradient of the next; and its first batch."""
    own = PROBLEMS[name]
    with isolated_randomness():
        batches = stream(own.batches, 5)
        first = next(batches)
        setup = set_up(own, 5, example=first)
        start_training(setup.model)
        for step in range(steps + 1):
            seed_everything(step)
            if step:
                setup.optimizer.step()
            setup.optimizer.zero_grad()
            loss_and_accuracy(own, setup.model, first)[0].backward()
    return setup, first


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("name", MONITORS)
def test_every_monitor_keeps_the_contract_and_reads_something(name, kind):
    check_monitor(MONITORS[name], PROBLEMS[kind], seed=5)
    setup, batch = in_the_midst(kind)
    assert len(MONITORS[name].look(3, setup, MONITORS[name].init(setup, batch))[0]) > 1


@pytest.mark.parametrize("name", MONITORS)
def test_monitors_have_the_name_they_are_asked_for_by_and_a_cadence(name):
    assert MONITORS[name].name == name
    with pytest.raises(ProblemError, match=f"the {name} monitor looks every 0 steps; expected an integer >= 1"):
        type(MONITORS[name])(0)


@pytest.mark.parametrize("name", MONITORS)
def test_what_is_drawn_of_a_monitor_is_read_by_it(name):
    setup, batch = in_the_midst("dropout")
    monitor = MONITORS[name]
    _, state = monitor.look(0, setup, monitor.init(setup, batch))
    names = {row[1] for row in monitor.look(getattr(monitor, "lag", 0), setup, state)[0]}
    assert monitor.drawn and {d.quantity for d in monitor.drawn} <= names
    assert {d.share_of for d in monitor.drawn} <= names | {None}


class Stubborn:
    """A monitor of a user's own that draws, and does not apply from step 4 on."""

    name, every = "stubborn", 2

    def init(self, setup, batch):
        return 0

    def look(self, step, setup, state):
        torch.rand(1), random.random()
        if step >= 4:
            raise DoesNotApply("it has seen enough")
        return [("", "looks", float(state))], state + 1


def test_looks_come_at_their_cadence_and_at_the_end_and_a_refusal_ends_them():
    setup, batch = in_the_midst("dropout")
    lane = Lane(0.1, 0, 9, monitors=(Stubborn(), MONITORS["move"]))
    before = trace(setup)
    looks = Looks(lane, lambda: setup, batch)
    for step in range(9):
        looks.look(step, lambda: setup)
    other = looks.fork()
    looks.look(9, lambda: setup, last=True)
    looks.look(9, lambda: setup, last=True)
    stubborn = [(r.step, r.block, r.name) for r in looks.readings if r.monitor == repr(lane.monitors[0])]
    assert stubborn == [(0, "", "looks"), (2, "", "looks"), (4, "it has seen enough", REFUSED)]
    moves = [r.step for r in looks.readings if r.monitor == "MoveMonitor(every=7)" and r.name == "moved" and r.block == "0"]
    assert moves == [0, 7, 9] and {r.step for r in other.readings} == {0, 2, 4, 7}
    expect_untouched(before, trace(setup), "looks")


def test_lanes_refuse_what_is_no_monitor_and_are_the_same_with_and_without():
    move = MONITORS["move"]
    assert Lane(0.1, 0, 5, monitors=(move,)) == Lane(0.1, 0, 5)
    assert hash(Lane(0.1, 0, 5, monitors=(move,))) == hash(Lane(0.1, 0, 5))
    with pytest.raises(ProblemError, match=r"monitors hold 'move'; expected objects with name, every, init and look"):
        Lane(0.1, 0, 5, monitors=("move",))
    with pytest.raises(ProblemError, match="the same monitor twice; expected each once"):
        Lane(0.1, 0, 5, monitors=(move, type(move)(7)))
    with pytest.raises(ProblemError, match="there is no monitor 'mov'; expected some of sharpness, move"):
        monitors_over("sharpness,mov", 100)
    with pytest.raises(ProblemError, match="monitors is a MoveMonitor; expected a list"):
        monitors_over(move, 100)
    assert monitors_over(["move", type(move)(9)], 100) == (type(move)(5), type(move)(9))


EVERY = tuple(make(6) for make in MAKERS.values())
LOOKS = {monitor: [0, 6, 12, 18, 20] for monitor in EVERY} | {MAKERS["stability"](6): [0, 1, 6, 7, 12, 13, 18, 19, 20]}
"""Steps after which they look at a lane of 20."""


def plain(outcome):
    """An outcome without what is read, or timed."""
    return repr(replace(outcome, readings=(), seconds=0.0, lane=replace(outcome.lane, monitors=())))


@pytest.mark.parametrize("kind", ["dropout", "BatchNorm", "transformer", "a loss that remembers", "a loader of one's own"])
def test_the_loop_trains_bit_for_bit_the_same_with_monitors_and_without(kind):
    own, lane = PROBLEMS[kind], Lane(0.05, 3, 20, Criterion(loss=-1.0), Until.END)
    without = LoopEngine().train_lane(own, lane)
    watched = LoopEngine().train_lane(own, replace(lane, monitors=EVERY))
    assert plain(watched) == plain(without) and without.readings == ()
    for monitor in EVERY:
        assert list(dict.fromkeys(r.step for r in watched.read_by(monitor))) == LOOKS[monitor]


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_rows_read_what_the_loop_reads_and_train_as_they_do_without(kernel):
    """A warm-up: the rate of a look is that of its step, 0 at first."""
    small = lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    own = problem(small, steps=30, schedule="warmup-cosine")
    lanes = [
        Lane(lr, 3, 30, Criterion(loss=-1.0), Until.END, own.policy, monitors=monitors)
        for lr, monitors in ((0.05, EVERY), (0.1, ()), (0.2, EVERY[:2]))
    ]
    rows = LaneEngine(kernel, dtype=torch.float64).try_train(own, lanes)
    for lane, row in zip(lanes, rows, strict=True):
        truth = LoopEngine(dtype=torch.float64).train_lane(own, lane)
        assert [(r.step, r.monitor, r.block, r.name) for r in row.readings] == [
            (r.step, r.monitor, r.block, r.name) for r in truth.readings
        ]
        theirs = [r.value for r in truth.readings]
        assert [r.value for r in row.readings] == pytest.approx(theirs, rel=1e-8, abs=1e-12, nan_ok=True)
    without = LaneEngine(kernel, dtype=torch.float64).try_train(own, [replace(lane, monitors=()) for lane in lanes])
    assert [plain(o) for o in rows] == [plain(o) for o in without]


def test_lanes_that_stop_early_are_read_at_their_very_end_whoever_trains():
    own, lane = problem(lambda: nn.Linear(6, 3), steps=40), Lane(0.1, 3, 40, Criterion(loss=0.9), monitors=EVERY[1:2])
    ((_, rows),) = LaneEngine("mlp").train(own, [lane])
    loop = LoopEngine().train_lane(own, lane)
    assert rows.readings == loop.readings and loop.reached == rows.readings[-1].step < 40


def test_a_lane_that_diverges_is_read_until_then_and_one_of_ones_own_loop_is_refused():
    own = problem(dropout)
    outcome = LoopEngine().train_lane(own, Lane(1e9, 3, 20, monitors=EVERY))
    assert (
        outcome.broken
        and {r.step for r in outcome.readings} == {0, 1}
        and not any(r.name == REFUSED for r in outcome.readings)
    )
    with pytest.raises(ProblemError, match="monitors cannot look into a training loop of your own"):
        LoopEngine().train_lane(Problem.from_loop(lambda lr, seed, report: None, steps=3), Lane(0.1, 0, 3, monitors=EVERY))


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


ENGINES = {"loop": LoopEngine(), "mlp": LaneEngine("mlp"), "vmap": LaneEngine("vmap")}


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_rows_have_nothing_read_of_a_lane_after_it_diverged(kernel):
    """They notice it steps later, and look until then."""
    own = problem(small, steps=30, loss=lambda z, y: F.mse_loss(z, F.one_hot(y, 3).to(z.dtype)))
    lane = Lane(20.0, 3, 30, Criterion(loss=-1.0), Until.END, monitors=tuple(make(1) for make in MAKERS.values()))
    truth = LoopEngine(dtype=torch.float64).train_lane(own, lane)
    (row,) = LaneEngine(kernel, dtype=torch.float64).try_train(own, [lane])
    assert truth.broken and truth.steps == row.steps < 30 and truth.readings[-1].step == truth.steps - 1
    places = [[(r.step, r.monitor, r.block, r.name) for r in outcome.readings] for outcome in (row, truth)]
    assert places[0] == places[1]


@pytest.mark.parametrize("kernel", ["mlp", "vmap"])
def test_in_float32_rows_end_the_same_with_monitors_but_for_rounding(kernel):
    """Read lanes are other chunks than those that are not, and sums are rounded by how many rows there are."""
    own, engine = problem(small, steps=30, valid=(X, Y)), LaneEngine(kernel)
    lanes = [Lane(lr, 3, 30, Criterion(loss=-1.0), Until.END) for lr in (0.02, 0.05, 0.1, 0.2)]
    some = [replace(lane, monitors=EVERY) if i % 2 else lane for i, lane in enumerate(lanes)]
    without, watched = (dict(engine.train(own, asked)) for asked in (lanes, some))
    for i in range(len(lanes)):
        assert bool(watched[i].readings) == bool(i % 2) and watched[i].status == without[i].status
        assert watched[i].valid_loss == pytest.approx(without[i].valid_loss, rel=1e-5)
        losses = [[row.loss for row in outcome[i].trace] for outcome in (watched, without)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def fork(factor: float, monitors=EVERY) -> Lane:
    """A lane of a trunk of ten steps."""
    return Lane(
        0.05, 3, 20, Criterion(loss=-1.0), Until.END, Then(Constant(), 10, Times(Constant(), factor)), monitors=monitors
    )


class Full:
    """A shelf that has every lane at step 10."""

    every = 0.0

    def __init__(self, kept: Snapshot) -> None:
        self.kept, self.asked = kept, 0

    def find(self, lane, until=None):
        self.asked += 1
        return self.kept

    def keep(self, snapshots):
        pass

    def drop(self, lanes):
        pass


@pytest.mark.parametrize("name", ENGINES)
def test_lanes_with_monitors_share_no_trunk_and_go_on_from_no_shelf(name):
    own, engine = problem(small), ENGINES[name]
    with engine.start(own, [fork(0.5, ())]) as training:
        training.advance(10)
        kept = training.snapshot(0)
    for monitors, shared in (((), 10), (EVERY, 0)):
        outcomes = dict(engine.train(own, [fork(factor, monitors) for factor in (0.5, 0.1)]))
        assert [outcomes[i].shared for i in range(2)] == [0, shared]
        engine.shelf = Full(kept)
        resumed = dict(engine.train(own, [fork(0.5, monitors)]))[0]
        asked, engine.shelf = engine.shelf.asked, None
        assert (resumed.shared, asked > 0) == ((10, True) if shared else (0, False))
    for outcome in (*outcomes.values(), resumed):
        assert {m: sorted({r.step for r in outcome.read_by(m)}) for m in EVERY} == LOOKS
    with pytest.raises(ProblemError, match="a lane with monitors cannot go on from a snapshot: they read it from its start"):
        engine.start(own, [fork(0.5)], [kept])


@pytest.mark.parametrize("name", ENGINES)
def test_rows_that_are_forked_and_reordered_keep_what_was_read_of_them(name):
    own, engine = problem(small), ENGINES[name]
    arms = [fork(0.5), fork(0.1)]
    lanes = [replace(fork(1.0, ()), seed=7), replace(arms[0], policy=Constant())]
    with engine.start(own, lanes) as training:
        assert training.advance(10) == []
        with pytest.raises(ProblemError, match="row 1 cannot be taken as a lane of other monitors"):
            training.take([1], [replace(lanes[1], monitors=EVERY[:1])])
        training.take([1, 0, 1], [arms[0], lanes[0], arms[1]])
        found = dict(training.advance(10))
    assert found[1].readings == ()
    for row, arm in ((0, arms[0]), (2, arms[1])):
        truth = LoopEngine().train_lane(own, arm)
        assert [(r.step, r.monitor, r.block, r.name) for r in found[row].readings] == [
            (r.step, r.monitor, r.block, r.name) for r in truth.readings
        ]
        theirs = [r.value for r in truth.readings]
        assert [r.value for r in found[row].readings] == pytest.approx(theirs, rel=2e-3, abs=1e-5, nan_ok=True)


@dataclass(frozen=True)
class Rates:
    """Reads the rate of every group that it is shown."""

    every: int = 3
    name = "rates"

    def init(self, setup, batch):
        return None

    def look(self, step, setup, state):
        groups = enumerate(setup.optimizer.param_groups)
        return [(str(index), "lr", float(group["lr"])) for index, group in groups], state


def test_rows_show_every_group_at_its_own_rate():
    policy = PerGroup({"0": Times(Constant(), 0.2)}, Times(Constant(), 0.5))
    data = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    own = Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        loss=F.cross_entropy, train=(data, (data[:, 0] > 0).long()), batch_size=16, steps=20,
    )  # fmt: skip
    lane = Lane(0.1, 1, 7, until=Until.END, policy=policy, monitors=(Rates(),))
    (rows,) = LaneEngine("mlp").try_train(own, [lane])
    assert [row.step for row in rows.readings] == [0, 0, 3, 3, 6, 6, 7, 7]
    assert [row.value for row in rows.readings] == pytest.approx([0.02, 0.05] * 4)
    assert rows.readings == LoopEngine().train_lane(own, lane).readings
