"""A fork gives what training every arm from its start gives: in the loop, in lanes, over workers, from a file."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from catalog import ELEMENTWISE, BackOff, NeedsClosure
from diagonal import diagonal
from digit_networks import cnn, digits, mlp, transformer
from etastar import (
    Clipped,
    Criterion,
    Lane,
    LaneEngine,
    Outcome,
    PerGroup,
    Problem,
    ProblemError,
    Runs,
    RunStore,
    Schedule,
    Then,
    Times,
)
from etastar.core import LaneStatus, Until
from etastar.core.snapshot import Snapshot
from etastar.engine import LoopEngine, SequentialEngine, WorkerEngine
from etastar.policies import Constant
from etastar.policies.compose import Seeing
from etastar.policies.hypergradient import Hypergradient
from etastar.policies.policy import Every
from etastar.problems.digits import load

STEPS, FORK = 16, 12
"""The fork is in the middle of an epoch, and one ends before and one after it."""


def problem(model=mlp, optimizer="momentum", **settings) -> Problem:
    return digits(model, ELEMENTWISE[optimizer] if isinstance(optimizer, str) else optimizer, **settings)


RATE = {"Adadelta": 0.5, "Rprop": 1e-3}
FIRST_BLOCK = {mlp: "0", cnn: "1", transformer: "layers"}
TRUNKS = {"constant": Constant(), "scheduled": Schedule(warmup=0.2, decay=0.4).over(FORK), "reactive": BackOff()}


def arms(
    trunk=TRUNKS["constant"], *, lr: float = 4e-3, block: str = "0", steps: int = STEPS, fork: int = FORK
) -> list[Lane]:
    """Other rates, a decay, a reaction, another rate for a block, a frozen block, one that starts from the rate in use."""
    rests = [Times(Constant(), 0.1), Times(Constant(), 3.0), Schedule(decay=1.0).over(steps - fork), BackOff()]
    rests += [PerGroup({block: Times(Constant(), 0.2)}), PerGroup({block: Times(Constant(), 0.0)}), Constant()]
    policies = [Then(trunk, fork, rest, start="current" if i == 6 else "lane") for i, rest in enumerate(rests)]
    policies.append(Then(trunk, fork, Clipped(BackOff(), 0.5)))
    lanes = [Lane(lr, 3, steps, Criterion(loss=0.0), Until.END, policy) for policy in policies]
    return lanes


def alone(own: Problem, lanes: list[Lane]) -> list[Outcome]:
    """Every lane from its start, by the loop."""
    engine = LoopEngine(dtype=torch.float64)
    return [engine.train_lane(own, lane) for lane in lanes]


@cache
def forked(model, optimizer: str, trunk: str) -> tuple[Problem, list[Lane], list[Outcome]]:
    """A problem, arms of this trunk, and what each gives alone: the truth of the loop and of all kernels, trained once."""
    own, lanes = problem(model, optimizer), arms(TRUNKS[trunk], lr=RATE.get(optimizer, 4e-3), block=FIRST_BLOCK[model])
    return own, lanes, alone(own, lanes)


def in_order(engine, own: Problem, lanes: list[Lane]) -> list[Outcome]:
    found = dict(engine.train(own, lanes))
    return [found[index] for index in range(len(lanes))]


def facts(outcome: Outcome) -> Outcome:
    return replace(outcome, seconds=0.0, first_valid_loss=None, first_train_loss=None)


def apart(ours: list[Outcome], truths: list[Outcome]) -> float:
    """The largest relative difference; the steps and the ends must be the same."""
    worst = 0.0
    for mine, truth in zip(ours, truths, strict=True):
        assert mine.lane == truth.lane
        assert (mine.status, mine.reached, mine.steps) == (truth.status, truth.reached, truth.steps)
        assert [row.step for row in mine.trace] == [row.step for row in truth.trace]
        assert [row.lr for row in mine.trace] == pytest.approx([row.lr for row in truth.trace], rel=1e-12)
        pairs = [(a.loss, b.loss) for a, b in zip(mine.trace, truth.trace, strict=True)]
        pairs += [(mine.valid_loss, truth.valid_loss), (mine.end_loss, truth.end_loss)]
        worst = max([worst, *(abs(a - b) / abs(b) for a, b in pairs)])
    return worst


def assert_parted(outcomes: list[Outcome]) -> None:
    """All arms are one until the fork, and another each afterwards."""
    losses = [[row.loss for row in outcome.trace] for outcome in outcomes]
    assert all(own[: FORK + 1] == pytest.approx(losses[0][: FORK + 1], rel=1e-9) for own in losses)
    assert len({own[-1] for own in losses}) >= len(losses) - 1, "the arms must differ (a constant one may equal another)"


@pytest.mark.parametrize(("model", "trunk"), diagonal([mlp, cnn, transformer], TRUNKS))
def test_forks_in_the_loop_are_bit_identical_to_training_from_the_start(model, trunk, fork_table):
    own, lanes, truths = forked(model, "momentum", trunk)
    found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in truths]
    assert_parted(found)
    fork_table("loop", model.__name__, "momentum", trunk, 0.0, found)


@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_forks_of_every_optimizer_are_bit_identical_in_the_loop(optimizer, fork_table):
    own, lanes, truths = (part if isinstance(part, Problem) else part[::2] for part in forked(mlp, optimizer, "reactive"))
    found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in truths]
    fork_table("loop", "mlp", optimizer, "reactive", 0.0, found)


CASES = [("mlp", mlp), ("vmap", mlp), ("convnet", cnn), ("vmap", cnn), ("vmap", transformer)]


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize(("kernel", "model"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_forks_in_lanes_are_the_loops(kernel, model, trunk, fork_table):
    own, lanes, truths = forked(model, "momentum", trunk)
    found = LaneEngine(kernel, dtype=torch.float64).try_train(own, lanes)
    worst = apart(found, truths)
    fork_table(kernel, model.__name__, "momentum", trunk, worst, found)
    assert worst <= 1e-12


@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_forks_of_every_optimizer_in_lanes_are_the_loops(optimizer, fork_table):
    own, lanes, truths = forked(mlp, optimizer, "reactive")
    found = LaneEngine("mlp", dtype=torch.float64).try_train(own, lanes)
    worst = apart(found, truths)
    fork_table("mlp", "mlp", optimizer, "reactive", worst, found)
    assert worst <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize(
    ("kernel", "model"), [*CASES, ("loop", cnn), ("loop", transformer)], ids=lambda c: getattr(c, "__name__", c)
)
@pytest.mark.parametrize("optimizer", ELEMENTWISE)
def test_forks_of_every_optimizer_and_network(optimizer, kernel, model, trunk, fork_table):
    own, lanes, truths = forked(model, optimizer, trunk)
    if kernel == "loop":
        found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    else:
        found = LaneEngine(kernel, dtype=torch.float64).try_train(own, lanes)
    worst = apart(found, truths)
    fork_table(kernel, model.__name__, optimizer, trunk, worst, found)
    assert worst <= (0.0 if kernel == "loop" else 1e-12)


@pytest.mark.parametrize("engine", [pytest.param("loop", marks=pytest.mark.slow), "mlp"])
def test_forks_over_workers(engine, fork_table):
    own, lanes = problem(), arms()
    inner = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    with WorkerEngine(2, inner) as workers:
        found = in_order(workers, own, lanes)
    worst = apart(found, alone(own, lanes))
    fork_table(f"2 workers, {engine}", "mlp", "momentum", "constant", worst, found)
    assert worst <= (0.0 if engine == "loop" else 1e-12)
    assert sum(o.spent for o in found) == 2 * FORK + len(lanes) * (STEPS - FORK)


@pytest.mark.parametrize("engine", ["loop", "sequential", "mlp", "vmap"])
def test_forks_from_a_snapshot_in_a_file(engine, tmp_path, fork_table):
    model = cnn if engine in ("sequential", "vmap") else mlp
    own, lanes = problem(model), arms(block="1")[:3]
    trunk = replace(lanes[0], policy=Constant())
    made = {"loop": LoopEngine, "sequential": SequentialEngine}.get(engine)
    trainer = made(dtype=torch.float64) if made else LaneEngine(engine, dtype=torch.float64)
    with trainer.start(own, [trunk]) as training:
        training.advance(FORK)
        training.snapshot(0).save(tmp_path / "kept.pt")
    kept = Snapshot.load(tmp_path / "kept.pt", trunk)
    with trainer.start(own, lanes, at=[kept] * len(lanes)) as training:
        found = dict(training.advance(STEPS))
    truths = [made(dtype=torch.float64).train_lane(own, lane) for lane in lanes] if made else alone(own, lanes)
    worst = apart([found[i] for i in range(len(lanes))], truths)
    fork_table(
        f"{engine}, from a file", "cnn" if engine in ("sequential", "vmap") else "mlp", "momentum", "constant", worst, []
    )
    assert worst <= (1e-12 if made is None else 0.0)


@pytest.mark.parametrize("optimizer", ["AdamW, groups", "NAdam", "ASGD, decay", "RMSprop, everything", "Adagrad, decay"])
def test_a_row_is_an_ordinary_model_and_optimizer_that_trains_on_by_itself(optimizer):
    own, lane = problem(optimizer=optimizer), Lane(4e-3, 3, STEPS, Criterion(loss=0.0), Until.END)
    with LaneEngine("mlp", dtype=torch.float64).start(own, [lane]) as training:
        training.advance(FORK)
        kept = training.snapshot(0)
        setup = training.setup(0)
    with LoopEngine(dtype=torch.float64).start(own, [lane], at=[kept]) as training:
        before = [p.clone() for p in training.setup(0).model.parameters()]
        [(_, outcome)] = training.advance(STEPS)
    assert all(torch.equal(a, b) for a, b in zip(before, setup.model.parameters(), strict=True))
    assert apart([outcome], alone(own, [lane])) <= 1e-12


def test_eight_arms_at_three_quarters_cost_about_a_third(fork_table):
    own, lanes = problem(), arms(steps=40, fork=30)
    for engine in (LoopEngine(dtype=torch.float64), LaneEngine("mlp", dtype=torch.float64)):
        runs = Runs(in_order(engine, own, lanes))
        share = runs.gradient_steps / sum(o.steps for o in runs)
        assert runs.gradient_steps == 30 + 8 * 10
        assert share <= 0.36
        assert [o.steps for o in runs] == [40] * 8
        assert [o.spent for o in runs] == [40] + [10] * 7


def test_what_was_shared_is_stored_and_counted_once():
    own, lanes = problem(), arms()[:3]
    with closing(RunStore(":memory:")) as store:
        store.register(own, "forks", [1.0], {})
        trained = store.get_or_train(LoopEngine(dtype=torch.float64), own, lanes)
        again = store.get_or_train(LoopEngine(dtype=torch.float64), own, lanes)
        (row,) = store.summary()
    computed = FORK + 3 * (STEPS - FORK)
    assert [o.spent for o in again] == [o.spent for o in trained] == [STEPS, STEPS - FORK, STEPS - FORK]
    assert store.new_gradient_steps == row["gradient_steps"] == computed
    assert [o.steps for o in again] == [STEPS] * 3


def test_trunks_of_several_lengths_are_one_and_forks_fork_again():
    at = lambda step, rest: Then(Constant(), step, rest)
    policies = [at(4, Times(Constant(), 0.1)), at(8, Times(Constant(), 0.1)), at(12, BackOff())]
    policies += [Then(at(8, BackOff()), 12, Times(Constant(), factor)) for factor in (0.1, 0.5)]
    lanes = [Lane(4e-3, 3, STEPS, Criterion(loss=0.0), Until.END, policy) for policy in policies]
    lanes += [replace(lanes[0], seed=4), replace(lanes[0], lr=1e-3), replace(lanes[1], steps=14)]
    own = problem()
    truths = alone(own, lanes)
    for engine in (LoopEngine(dtype=torch.float64), LaneEngine("mlp", dtype=torch.float64)):
        found = in_order(engine, own, lanes)
        assert apart(found, truths) <= 1e-12
        trunk, inner = 12, 4  # the constant trunk until 12, and the reactive one from 8 to 12, once each
        arms = (STEPS - 4) + (STEPS - 8) + (STEPS - 12) + 2 * (STEPS - 12) + (14 - 8)
        assert sum(o.spent for o in found) == trunk + inner + arms + 2 * STEPS


def test_arms_that_read_what_their_trunk_does_not_see_it_from_the_start():
    @dataclass(frozen=True)
    class Smooth:
        reads = ("smoothed_loss", "grad_cosine", Every("loss", 4))

        def init(self, lr):
            return lr

        def step(self, seen, state):
            return state * seen["smoothed_loss"] * (1.5 + torch.nan_to_num(seen["grad_cosine"])) / seen["loss"], state

    lanes = [
        replace(lane, policy=Then(Constant(), FORK, rest)) for lane, rest in zip(arms(), (Smooth(), BackOff()), strict=False)
    ]
    own = problem()
    truths = alone(own, lanes)
    assert [facts(o) for o in in_order(LoopEngine(dtype=torch.float64), own, lanes)] == [facts(o) for o in truths]
    found = LaneEngine("mlp", dtype=torch.float64).try_train(own, lanes)
    assert apart(found, truths) <= 1e-12
    assert found[1].spent == STEPS - FORK
    with LoopEngine(dtype=torch.float64).start(own, [replace(lanes[0], policy=Constant())]) as training:
        training.advance(FORK)
        with pytest.raises(ProblemError, match="nobody watched it; expected a trunk that reads it"):
            training.take([0], [lanes[0]])
    with LoopEngine(dtype=torch.float64).start(
        own, [replace(lanes[0], policy=Seeing(Constant(), Smooth.reads))]
    ) as training:
        training.advance(FORK)
        training.take([0], [lanes[0]])
        [(_, outcome)] = training.advance(STEPS)
    assert facts(outcome) == facts(truths[0])


@pytest.mark.parametrize("engine", ["loop", "mlp"])
def test_accumulation_clipping_settings_and_data_that_must_be_read_again(engine):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(*(t[:100] for t in load()[0]), strict=True))

    settings = {"accumulate": 2, "clip_grad_norm": 0.3}
    if engine == "loop":
        settings |= {"train": torch.utils.data.DataLoader(Stream(), batch_size=8), "batch_size": None}
    own = problem(**settings)
    lanes = [replace(lane, settings=(("momentum", 0.5),)) for lane in arms()]
    lanes += [replace(lane, settings=(("momentum", 0.0),)) for lane in arms()[:2]]
    trainer = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    found = in_order(trainer, own, lanes)
    assert apart(found, alone(own, lanes)) <= (0.0 if engine == "loop" else 1e-12)
    assert sum(o.spent for o in found) == 2 * FORK + len(lanes) * (STEPS - FORK)


def test_optimizers_that_evaluate_the_loss_fork_in_the_loop():
    own = problem(optimizer=lambda model: NeedsClosure(model.parameters(), lr=0.1))
    lanes = [replace(lane, lr=0.05) for lane in arms(TRUNKS["reactive"])[:4]]
    found, truths = in_order(LoopEngine(dtype=torch.float64), own, lanes), alone(own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in truths]
    assert sum(o.spent for o in found) == FORK + len(lanes) * (STEPS - FORK)
    own = problem(optimizer=lambda model: torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2))
    lanes = [replace(lane, lr=0.05) for lane in arms()[:2]]
    found, truths = in_order(LoopEngine(dtype=torch.float64), own, lanes), alone(own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in truths]


class Counting:
    """A loss that fades with the number of its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, outputs, targets):
        self.calls += 1
        return F.cross_entropy(outputs, targets) / (1 + 0.01 * self.calls)


def test_code_that_remembers_is_trained_from_the_start():
    own, lanes = problem(loss=Counting()), arms()[:2]
    found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    assert [o.spent for o in found] == [STEPS, STEPS]
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in alone(own, lanes)]
    with LoopEngine().start(own, lanes[:1]) as training:
        training.advance(4)
        with pytest.raises(ProblemError, match=r"training changes Counting\.calls by itself, which no snapshot holds"):
            training.snapshot(0)


@pytest.mark.parametrize("engine", ["loop", "mlp"])
def test_a_trunk_that_diverges_or_trains_early_decides_all_its_arms(engine):
    trainer = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    own = problem()
    wild = [replace(lane, lr=1e30) for lane in arms()[:3]]
    found = in_order(trainer, own, [*wild, replace(wild[0], steps=2000)])
    assert {o.status for o in found} == {LaneStatus.DIVERGED}
    assert found[0].spent == found[0].steps
    assert [o.spent for o in found[1:]] == [0, 0, 0]
    truths = alone(own, [o.lane for o in found])
    assert [len(o.trace) for o in found] == [len(o.trace) for o in truths]
    early = [
        replace(lane, lr=0.03, criterion=Criterion(fraction=0.97, window=3), until=Until.SUCCESS) for lane in arms()[:3]
    ]
    found = in_order(trainer, own, early)
    assert {o.status for o in found} == {LaneStatus.TRAINED}
    assert [o.reached for o in found] == [o.reached for o in alone(own, early)]


@pytest.mark.parametrize("engine", ["loop", "mlp"])
def test_what_cannot_be_taken_is_said_in_a_sentence(engine):
    own, (a, b, *_) = problem(), arms()
    trainer = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    with trainer.start(own, [replace(a, policy=Constant()), replace(a, lr=1e30)]) as training:
        training.advance(FORK)
        assert training.undecided == [0]
        refused = [
            (([1], None), r"row 1 cannot be taken: it is decided, or there is none; expected rows that train on \(0\)"),
            (([0, 0], [a]), "1 lanes were given for 2 rows"),
            (([0], [replace(a, seed=4)]), "a lane of seed 4 cannot go on from one of seed 3; expected the same"),
            (([0], [replace(a, steps=10)]), f"a lane of 10 steps cannot go on at step {FORK}; expected more steps"),
            (([0], [replace(a, policy=BackOff())]), r"BackOff\(\) cannot go on where Constant\(\) was; expected Then\("),
            (
                ([0], [replace(a, policy=Then(Constant(), 5, BackOff()))]),
                f"has changed at step 5; this row is at step {FORK}",
            ),
        ]
        for (rows, lanes), message in refused:
            with pytest.raises(ProblemError, match=message):
                training.take(rows, lanes)
        training.take([0, 0], [a, b])
        found = dict(training.advance(STEPS))
    assert apart([found[0], found[1]], alone(own, [a, b])) <= 1e-12


@pytest.mark.parametrize("engine", ["loop", "mlp"])
def test_after_a_refusal_the_rows_train_on_as_they_would_have(engine):
    own, trunk = problem(), replace(arms()[0], policy=BackOff())
    trainer = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    cosine = Then(BackOff(), FORK, Hypergradient())
    with trainer.start(own, [trunk]) as training:
        training.advance(FORK)
        for policy, message in ((Then(Constant(), FORK, BackOff()), "cannot go on where"), (cosine, "nobody watched it")):
            with pytest.raises(ProblemError, match=message):
                training.take([0], [replace(trunk, policy=policy)])
        [(_, outcome)] = training.advance(STEPS)
    assert apart([outcome], alone(own, [trunk])) <= (0.0 if engine == "loop" else 1e-12)


def test_files_that_are_no_snapshot_of_this_lane_are_refused(tmp_path):
    own, lane = problem(), arms()[0]
    with LoopEngine().start(own, [lane]) as training:
        training.advance(3)
        training.snapshot(0).save(tmp_path / "kept.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.pt"]
    with pytest.raises(ProblemError, match=r"kept\.pt is of another lane"):
        Snapshot.load(tmp_path / "kept.pt", replace(lane, policy=Constant()))
    made = torch.load(tmp_path / "kept.pt", weights_only=True)
    torch.save(made | {"etastar": "0.0.1"}, tmp_path / "old.pt")
    with pytest.raises(ProblemError, match=r"old\.pt was written by etastar 0\.0\.1 .* train the lane again"):
        Snapshot.load(tmp_path / "old.pt", lane)
    (tmp_path / "text.pt").write_text("no snapshot")
    with pytest.raises(ProblemError, match=r"text\.pt holds no snapshot of a lane"):
        Snapshot.load(tmp_path / "text.pt", lane)
    kept = Snapshot.load(tmp_path / "kept.pt", lane)
    with (
        pytest.raises(ProblemError, match="the snapshot is of another model"),
        LoopEngine().start(problem(cnn), [lane], [kept]),
    ):
        pass
    with pytest.raises(ProblemError, match=r"1 snapshots of steps \[3\] were given; expected one a lane \(2\)"):
        LoopEngine().start(own, [lane, lane], [kept])


def test_what_is_the_callers_is_as_before():
    own, lane = problem(loss=nn.CrossEntropyLoss()), arms()[0]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with LoopEngine().start(own, [lane]) as training:
        training.advance(3)
    assert torch.equal(torch.get_rng_state(), state)


class Sharp(torch.optim.Optimizer):
    """Sharpness-aware minimisation as it is usually written: around another optimizer, which has the momentum."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.base = torch.optim.SGD(self.param_groups, lr=lr, momentum=0.9)
        self.param_groups = self.base.param_groups

    def step(self, closure):
        before = [p.detach().clone() for p in self.param_groups[0]["params"]]
        loss = closure()
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.add_(0.05 * p.grad)
        closure()
        with torch.no_grad():
            for p, old in zip(self.param_groups[0]["params"], before, strict=True):
                p.copy_(old)
        self.base.step()
        return loss


class Shrinks(torch.optim.SGD):
    """Keeps the number of its steps where no snapshot looks."""

    def __init__(self, params, where):
        super().__init__(params, lr=0.05)
        self._count, self.counts, self.where = 0, [0], where

    def step(self, closure=None):
        own = self.state["all"] if self.where == "state" else None
        if own is not None:
            own["count"] = count = own.get("count", 0) + 1
        elif self.where == "list":
            self.counts[0] = count = self.counts[0] + 1
        else:
            self._count = count = self._count + 1
        for p in self.param_groups[0]["params"]:
            p.data.mul_(1 - 1e-3 * count)
        return super().step(closure)


@pytest.mark.parametrize("where", ["wrapped", "state", "list", "private"])
def test_optimizers_that_keep_more_than_a_snapshot_holds_are_trained_from_the_start(where):
    lanes = arms()[:2]
    plain = problem()
    in_order(LoopEngine(dtype=torch.float64), plain, lanes)  # the same model with another optimizer says nothing
    own = problem(optimizer=lambda m: Sharp(m.parameters(), 0.05) if where == "wrapped" else Shrinks(m.parameters(), where))
    found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in alone(own, lanes)]
    assert [o.spent for o in found] == [STEPS, STEPS]


class Centred(nn.Module):
    """A buffer that exists from the first batch on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None, persistent=False)

    def forward(self, x):
        self.mean = x.mean(0).detach() if self.mean is None else self.mean.lerp_(x.mean(0).detach(), 0.1)
        return x - self.mean


def test_buffers_that_training_makes_are_no_obstacle():
    own, lanes = problem(lambda: nn.Sequential(Centred(), mlp())), arms()[:2]
    found = in_order(LoopEngine(dtype=torch.float64), own, lanes)
    assert [facts(outcome) for outcome in found] == [facts(outcome) for outcome in alone(own, lanes)]


class Dies(nn.Module):
    """One rectified weight: its gradient is zero for ever once it is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return F.relu(self.weight) + 1 + 0 * x.sum()


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_arms_of_a_trunk_that_died_are_scored_each_on_its_own_part(engine):
    trainer = LoopEngine(dtype=torch.float64) if engine == "loop" else LaneEngine(engine, dtype=torch.float64)
    _, valid = load()
    own = problem(
        Dies,
        lambda m: torch.optim.SGD(m.parameters(), lr=1.0),
        loss=lambda o, t: o.mean() + t.double().mean(),
        valid=tuple(torch.cat([t] * 12) for t in valid),
    )
    policies = [Then(Constant(), 180, Times(Constant(), factor)) for factor in (0.1, 0.5)]
    lanes = [
        Lane(3.0, 3, steps, Criterion(uninformed=0.1, loss=0.0), Until.END, policy)
        for steps, policy in zip((200, 2000), policies, strict=True)
    ]
    found, truths = in_order(trainer, own, lanes), alone(own, lanes)
    assert {o.status for o in found} == {LaneStatus.DEAD}
    assert [o.valid_loss for o in found] == pytest.approx([o.valid_loss for o in truths], rel=1e-12)
    assert found[0].valid_loss != found[1].valid_loss
    assert sum(o.spent for o in found) == found[0].steps < 180


@dataclass(frozen=True)
class Smoothed:
    reads = ("smoothed_loss",)

    def init(self, lr):
        return lr

    def step(self, seen, state):
        return state * (1 + 0 * seen["smoothed_loss"]), state


@pytest.mark.parametrize("order", [1, -1])
def test_rows_go_on_from_snapshots_of_engines_and_policies_that_saw_other_things(order):
    own, kept = problem(), []
    policies = [BackOff(), Schedule(decay=0.5).over(STEPS)]
    lanes = [Lane(4e-3, 3, STEPS, Criterion(loss=0.0), Until.END, policy) for policy in policies][::order]
    for lane, trainer in zip(lanes, (LoopEngine(dtype=torch.float64), LaneEngine("mlp", dtype=torch.float64)), strict=True):
        with trainer.start(own, [lane]) as training:
            training.advance(FORK)
            kept.append(training.snapshot(0))
    rows = LaneEngine("mlp", dtype=torch.float64)
    with rows.start(own, lanes, at=kept) as training:
        found = dict(training.advance(STEPS))
    assert apart([found[0], found[1]], alone(own, lanes)) <= 1e-12
    late = replace(lanes[0], policy=Then(lanes[0].policy, FORK, Smoothed()))
    with LoopEngine(dtype=torch.float64).start(own, [replace(lanes[0], policy=Smoothed())]) as training:
        training.advance(FORK)
        seen = training.snapshot(0)
    with pytest.raises(ProblemError, match="nobody watched it"), rows.start(own, [seen.lane, late], at=[seen, kept[0]]):
        pass


class PartlyUsed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.idle, self.net = nn.Linear(3, 3), mlp()

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("first", ["idle", "used"])
@pytest.mark.parametrize("name", ["Adam", "NAdam", "ASGD"])
def test_rows_go_on_from_an_optimizer_that_has_no_state_of_unused_parameters(name, first):
    turn = 1 if first == "idle" else -1
    own = problem(PartlyUsed, lambda m: getattr(torch.optim, name)(list(m.parameters())[::turn], lr=0.01))
    lane = Lane(4e-3, 3, STEPS, Criterion(loss=0.0), Until.END)
    with LoopEngine(dtype=torch.float64).start(own, [lane]) as training:
        training.advance(FORK)
        kept = training.snapshot(0)
    with LaneEngine("vmap", dtype=torch.float64).start(own, [lane], at=[kept]) as training:
        [(_, outcome)] = training.advance(STEPS)
    assert apart([outcome], alone(own, [lane])) <= 1e-12


class Pair(NamedTuple):
    lr: torch.Tensor
    count: int


@dataclass(frozen=True)
class Counts:
    """A policy whose state is a named tuple."""

    reads = ("loss",)

    def init(self, lr):
        return Pair(lr, 0)

    def step(self, seen, state):
        return state.lr * 0.99**state.count, Pair(state.lr * (1 + 0.01 * seen["loss"]), state.count + 1)


def test_states_may_be_named_tuples():
    own, lanes = problem(), [replace(lane, policy=Then(Counts(), FORK, lane.policy.rest)) for lane in arms()[:2]]
    lanes.append(replace(lanes[0], policy=Then(Counts(), FORK, Counts())))
    found = LaneEngine("mlp", dtype=torch.float64).try_train(own, lanes)
    assert apart(found, alone(own, lanes)) <= 1e-12
