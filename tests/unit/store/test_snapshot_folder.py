"""Snapshots beside the store: a killed run of long lanes goes on, longer lanes begin where shorter ones were."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import closing, suppress
from dataclasses import replace

import pytest
import torch

from etastar import Criterion, Lane, LaneEngine, Problem, RunStore, Schedule, Then, Times
from etastar.core import Until
from etastar.engine import LoopEngine, WorkerEngine
from etastar.policies import Constant
from etastar.problems.digits import digits_mlp, load
from etastar.store import snapshot_folder as shelves
from etastar.store.snapshot_folder import SnapshotFolder

PROBLEM = digits_mlp(width=16)


def lane(steps: int = 40, policy=None, seed: int = 3, lr: float = 0.02) -> Lane:
    return Lane(lr, seed, steps, Criterion(loss=0.0), Until.END, policy or Schedule(decay=1.0).over(steps))


def engine(kind: str):
    return LoopEngine(dtype=torch.float64) if kind == "loop" else LaneEngine("mlp", dtype=torch.float64)


def shelf(folder, **changes) -> SnapshotFolder:
    return SnapshotFolder(folder / "snapshots", "problem engine", **({"every": 0.0} | changes))


def facts(outcome):
    return replace(outcome, seconds=0.0, shared=0)


class Killed(KeyboardInterrupt):
    pass


class Stops(SnapshotFolder):
    """A shelf that ends the process, so to speak, when a lane is kept at step 20 or later."""

    def keep(self, snapshots):
        super().keep(snapshots)
        if snapshots and snapshots[0].step >= 20:
            raise Killed


def killed(trainer, own, folder):
    trainer.shelf = Stops(folder / "snapshots", "problem engine", every=0.0)
    with suppress(Killed):
        list(trainer.train(PROBLEM, own))
    trainer.shelf = shelf(folder)


@pytest.mark.parametrize("kind", ["loop", "mlp"])
def test_lanes_that_were_killed_go_on_and_end_as_they_would_have(kind, tmp_path):
    arms = [lane(policy=Then(Constant(), 10, Times(Constant(), factor))) for factor in (0.1, 0.5)]
    own = [lane(), *arms] if kind == "mlp" else [lane()]
    truths = dict(engine(kind).train(PROBLEM, own))
    trainer = engine(kind)
    killed(trainer, own, tmp_path)
    assert {path.stem.rpartition("-")[2] for path in (tmp_path / "snapshots").iterdir()} >= {"20"}
    found = dict(trainer.train(PROBLEM, own))
    assert {i: facts(o) for i, o in found.items()} == {i: facts(o) for i, o in truths.items()}
    assert [found[i].spent for i in range(len(own))] == [20] * len(own)


@pytest.mark.parametrize("kind", ["loop", "mlp"])
def test_a_trunk_that_was_killed_goes_on_and_forks(kind, tmp_path):
    own = [lane(policy=Then(Constant(), 30, Times(Constant(), factor))) for factor in (0.1, 0.5)]
    truths = dict(engine(kind).train(PROBLEM, own))
    trainer = engine(kind)
    killed(trainer, own, tmp_path)
    found = dict(trainer.train(PROBLEM, own))
    assert {i: facts(o) for i, o in found.items()} == {i: facts(o) for i, o in truths.items()}
    assert sum(o.spent for o in found.values()) == 10 + 2 * 10


@pytest.mark.parametrize("kind", ["loop", "mlp"])
def test_longer_lanes_of_a_constant_rate_and_arms_of_its_trunk_begin_where_it_was_kept(kind, tmp_path):
    trainer = engine(kind)
    trainer.shelf = shelf(tmp_path)
    list(trainer.train(PROBLEM, [lane(30, Constant())]))
    later = [lane(60, Constant()), lane(60, Then(Constant(), 28, Schedule(decay=1.0).over(32)))]
    truths = dict(engine(kind).train(PROBLEM, later))
    found = dict(trainer.train(PROBLEM, later))
    assert {i: facts(o) for i, o in found.items()} == {i: facts(o) for i, o in truths.items()}
    assert [found[i].spent for i in range(2)] == [35, 35], "kept at step 25, the last stride before its end"
    other = [lane(60, Constant(), seed=4), lane(60, Constant(), lr=0.03), lane(60, Schedule(decay=1.0).over(60))]
    assert [o.spent for _, o in trainer.train(PROBLEM, other)] == [60, 60, 60]


def test_workers_keep_and_find(tmp_path):
    with WorkerEngine(2, LoopEngine(dtype=torch.float64)) as workers:
        workers.shelf = shelf(tmp_path)
        list(workers.train(PROBLEM, [lane(30, Constant(), seed) for seed in (1, 2)]))
        found = dict(workers.train(PROBLEM, [lane(40, Constant(), seed) for seed in (1, 2)]))
    assert [found[i].spent for i in range(2)] == [15, 15]


def test_a_store_drops_what_it_holds_and_nothing_is_kept_of_short_lanes(tmp_path, monkeypatch):
    trainer = LoopEngine()
    with closing(RunStore(tmp_path / "r.db")) as store:
        store.register(PROBLEM, "shelf", [1.0], {})
        store.get_or_train(trainer, PROBLEM, [lane(20)])
        assert not (tmp_path / "r.db.snapshots").exists()
        monkeypatch.setattr(SnapshotFolder.__init__, "__defaults__", (0.0, shelves.LARGEST))
        store.get_or_train(trainer, PROBLEM, [lane(), lane(40, Constant())])
        kept = [path.name for path in (tmp_path / "r.db.snapshots").iterdir()]
        assert len(kept) >= 1 and len({name.partition("-")[0] for name in kept}) == 1, "the constant one alone"
        runs = store.get_or_train(trainer, PROBLEM, [lane(80, Constant())])
        assert runs[0].spent == store.new_gradient_steps - 20 - 80 == 80 - 35
    with closing(RunStore(":memory:")) as store:
        store.register(PROBLEM, "shelf", [1.0], {})
        store.get_or_train(trainer, PROBLEM, [lane(20)])
        assert trainer.shelf is None


def test_room_is_made_and_what_cannot_be_read_is_trained_again(tmp_path):
    trainer, own = LoopEngine(), [lane(30, Constant(), seed) for seed in range(3)]
    trainer.shelf = shelf(tmp_path)
    list(trainer.train(PROBLEM, own[:1]))
    files = sorted((tmp_path / "snapshots").iterdir())
    one = max(path.stat().st_size for path in files)
    trainer.shelf = shelf(tmp_path, largest=2 * one + one // 2)
    list(trainer.train(PROBLEM, own))
    assert len(list((tmp_path / "snapshots").iterdir())) == 2
    assert trainer.shelf.find(lane(60, Constant(), 0)) is None
    kept = trainer.shelf.find(lane(60, Constant(), 2))
    assert kept is not None and kept.step == 25
    for path in (tmp_path / "snapshots").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert [o.spent for _, o in trainer.train(PROBLEM, [lane(60, Constant(), 2)])] == [60]


@pytest.mark.parametrize("kind", ["loop", "mlp"])
def test_a_folder_that_cannot_be_written_never_ends_a_run(kind, tmp_path):
    (tmp_path / "snapshots").write_text("a file where the folder would be")
    trainer = engine(kind)
    trainer.shelf = shelf(tmp_path)
    with pytest.warns(UserWarning, match="lanes under way cannot be kept in .*: training goes on") as said:
        found = dict(trainer.train(PROBLEM, [lane()]))
    trainer.shelf.drop([lane()])
    assert len({str(warning.message) for warning in said}) == 1
    assert facts(found[0]) == facts(dict(engine(kind).train(PROBLEM, [lane()]))[0])


def test_a_disk_without_room_leaves_no_halves_and_those_of_killed_processes_go(tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for name, age in ((".old.pt.1", 2 * shelves.HALF), (".new.pt.2", 0.0)):
        (folder / name).write_text("half")
        os.utime(folder / name, (time.time() - age, time.time() - age))
    trainer = LoopEngine()
    trainer.shelf = shelf(tmp_path)
    list(trainer.train(PROBLEM, [lane(10)]))
    assert not (folder / ".old.pt.1").exists()
    assert (folder / ".new.pt.2").exists()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = set(folder.iterdir())
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.warns(UserWarning, match="lanes under way cannot be kept"):
            list(trainer.train(PROBLEM, [lane(seed=4)]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert set(folder.iterdir()) == before


class ItsOwnIterator(torch.utils.data.IterableDataset):
    def __iter__(self):
        self.samples = iter(zip(*(t[:100] for t in load()[0]), strict=True))
        return self

    def __next__(self):
        return next(self.samples)


def test_keeping_reads_no_stream_beside_a_lane(tmp_path):
    found = []
    for folder in (None, shelf(tmp_path)):
        model = lambda: torch.nn.Linear(64, 10)  # one that was not looked at yet
        data = torch.utils.data.DataLoader(ItsOwnIterator(), batch_size=8)
        optimizer = lambda m: torch.optim.SGD(m.parameters(), lr=0.1)
        own = Problem(model=model, optimizer=optimizer, loss=torch.nn.functional.cross_entropy, train=data, steps=40)
        trainer = engine("loop")
        trainer.shelf = folder
        found.append(facts(dict(trainer.train(own, [lane(20)]))[0]))
    assert found[0] == found[1]


SCRIPT = """
import sys
from contextlib import closing
import torch
torch.set_num_threads(1)
from etastar import Criterion, Lane, RunStore, Schedule
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.problems.digits import digits_mlp
from etastar.store.snapshot_folder import LARGEST, SnapshotFolder

SnapshotFolder.__init__.__defaults__ = (0.0, LARGEST)
problem, engine = digits_mlp(width=16), LoopEngine()
lane = Lane(0.02, 3, 3000, Criterion(loss=0.0), Until.END, Schedule(decay=1.0).over(3000))
with closing(RunStore("r.db")) as store:
    store.register(problem, "long", [1.0], {})
    (outcome,) = store.get_or_train(engine, problem, [lane])
print(repr(outcome.end_loss), repr(outcome.valid_loss), outcome.steps, outcome.spent)
"""


@pytest.mark.slow
def test_a_long_lane_of_a_process_that_was_really_killed_goes_on(tmp_path):
    (tmp_path / "long.py").write_text(textwrap.dedent(SCRIPT))
    start = lambda: subprocess.Popen([sys.executable, "long.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    process, folder = start(), tmp_path / "r.db.snapshots"
    while process.poll() is None and not _kept(folder, 1000):
        time.sleep(0.02)
    assert process.poll() is None, "it must be killed while it trains"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = start().communicate()[0].split()
    fresh = LoopEngine().train_lane(
        digits_mlp(width=16), Lane(0.02, 3, 3000, Criterion(loss=0.0), Until.END, Schedule(decay=1.0).over(3000))
    )
    assert again[:3] == [repr(fresh.end_loss), repr(fresh.valid_loss), "3000"]
    assert int(again[3]) <= 2000
    assert not list(folder.glob("[!.]*")), "what is stored is dropped; what was half written stays for an hour"


def _kept(folder, step: int) -> bool:
    return folder.is_dir() and any(int(path.stem.rpartition("-")[2]) >= step for path in folder.glob("[!.]*.pt"))
