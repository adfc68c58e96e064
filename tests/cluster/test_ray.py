"""Lanes on a real Ray cluster of one node: the loop's outcomes, the user's own errors, workers that die; bad addresses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cli_harness import HEADER, run_here
from etastar import EtastarError, Lane, LaneEngine, Options, Problem, ProblemError, Then, Times, search, surface
from etastar.core import Until
from etastar.core.deadline import Deadline, TimeOver
from etastar.engine import LoopEngine, RayEngine
from etastar.errors import UserCodeRaised
from etastar.policies import Constant
from processes import PATIENCE

DIES = """
import os, signal, threading, time

def slow(outputs, targets):
    time.sleep(0.05)
    outputs.sum().item()
    return F.cross_entropy(outputs, targets)

def kill():
    import ray
    while not ray.is_initialized():
        time.sleep(0.05)
    time.sleep(3)
    node = ray._private.worker._global_node
    os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
p = problem(loss=slow, steps=60)
"""
"""Its driver's raylet is killed three seconds after the cluster was started."""
DYING = ("find", "user.py:p", "--on", "ray", "--engine", "loop", "--workers", "1", "--store", "r.db")


def lanes() -> list[Lane]:
    return [Lane(lr, seed, 20) for seed in (1, 2) for lr in (0.01, 0.1, 1e12)]


def comparable(outcomes):
    return [(i, o.status, o.steps, str([r.loss for r in o.trace])) for i, o in sorted(outcomes, key=lambda x: x[0])]


def linear(data, **changes) -> Problem:
    settings = {
        "model": lambda: nn.Linear(6, 3),
        "optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        "loss": F.cross_entropy,
        "train": data,
        "steps": 20,
    }
    return Problem(**(settings | changes))


@pytest.mark.slow
def test_a_cluster_of_our_own_gives_the_local_outcomes_and_errors_and_leaves_no_trace(small, data):
    """One test, because a cluster takes seconds to start."""

    def broken(outputs, targets):
        raise ValueError("my loss is broken")

    def no_model():
        raise ValueError("no model")

    local = comparable(LaneEngine("mlp", 4).train(small, lanes()))
    environment, on_terminate = dict(os.environ), signal.getsignal(signal.SIGTERM)
    with RayEngine(LaneEngine("mlp", 4), "local", at_once=1) as engine:
        assert engine.name == LaneEngine("mlp").name
        assert engine.place == "Ray: 1 node, 1 CPU, 1 at once"
        assert comparable(engine.train(small, lanes())) == local
        arms = [Lane(0.05, 1, 20, policy=Then(Constant(), 15, Times(Constant(), factor))) for factor in (0.1, 0.5)]
        arms = [replace(arm, until=Until.END) for arm in arms]
        forked = list(engine.train(small, arms))
        assert comparable(forked) == comparable(LaneEngine("mlp", 4).train(small, arms))
        assert sorted(o.spent for _, o in forked) == [5, 20]
        broken_lanes = [outcome for _, outcome in engine.train(linear(data, loss=broken), lanes())]
        assert len(broken_lanes) == len(lanes())
        for outcome in broken_lanes:
            with pytest.raises(UserCodeRaised, match=r"^your code raised ValueError: my loss is broken \(.*test_ray.py"):
                outcome.require()
        with pytest.raises(UserCodeRaised, match=r"^your code raised ValueError: no model \(.*test_ray.py") as raised:
            list(engine.train(linear(data, model=no_model), lanes()))
        assert type(raised.value.__cause__).__name__ == "EarlierTraceback"
    import ray

    assert not ray.is_initialized()
    assert dict(os.environ) == environment
    assert signal.getsignal(signal.SIGTERM) is on_terminate


@pytest.mark.slow
def test_shards_end_when_time_is_over_with_what_ended_until_then(small):
    """Also on a worker that was busy when the deadline was made: what is left of it is counted from the shard's start."""
    short, long, longer = (Lane(0.1, 1, steps, until=Until.END) for steps in (20, 10_000_000, 20_000_000))
    found = []
    with RayEngine(address="local", at_once=1) as engine:
        [(_, alone)] = engine.train(small, [short])
        with Deadline(10.0).held(), pytest.raises(TimeOver):
            for each in engine.train(small, [short, long, longer]):
                found.append(each)
        assert comparable(found) == comparable([(0, alone)])
        assert comparable(engine.train(small, [short])) == comparable([(0, alone)]), "and it goes on"


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_lanes_are_trained_again(data, tmp_path):
    died = tmp_path / "died"

    def dies_once():
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.Linear(6, 3)

    with RayEngine(address="local", at_once=2) as engine:
        found = comparable(engine.train(linear(data, model=dies_once), lanes()))
    assert died.exists()
    assert found == comparable(LoopEngine().train(linear(data), lanes()))


@pytest.mark.slow
def test_a_worker_that_always_dies_is_reported_in_a_sentence(data):
    here = os.getpid()

    def dies():
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return nn.Linear(6, 3)

    with RayEngine(address="local", at_once=1) as engine:
        with pytest.raises(EtastarError, match="the same 1 lanes died 3 times in a row"):
            list(engine.train(linear(data, model=dies), lanes()))
        assert len(list(engine.train(linear(data), lanes()))) == 6, "the cluster is as good as before"


@pytest.mark.slow
def test_a_node_of_our_own_that_dies_is_a_sentence(tmp_path):
    """Ray itself would end the process, 15 s later and without a word."""
    (tmp_path / "user.py").write_text(HEADER + DIES)
    done = subprocess.run(
        [sys.executable, "-c", "from etastar.cli.main import main; main()", *DYING],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("etastar: this machine's Ray node died")


@pytest.mark.slow
def test_a_connection_of_the_callers_is_used_and_left_open(small):
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with RayEngine() as engine:
            assert len(list(engine.train(small, lanes()[:2]))) == 2
        assert ray.is_initialized()
        with pytest.raises(ProblemError, match=r"this process is connected to Ray at .*, not 10.0.0.1:6379"):
            RayEngine(address="10.0.0.1:6379")
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_a_search_over_batch_sizes_and_a_surface_find_on_ray_what_they_find_here(small, tmp_path):
    """A batch size is another problem: it gets its own engine on the same cluster."""
    space = {"lr": {"low": 0.01, "high": 1.0}, "batch_size": {"choices": [8, 16]}}

    def answers(on: str):
        options = Options(store=tmp_path / f"{on}.db", on=on, workers=2, engine="loop")
        found = search(small, sampler="random", trials=6, space=space, options=options)
        return [(t.params, t.loss) for t in found.trials], surface(
            small, schedules=("constant",), horizons=(40,), seeds=1, rates=(0.03, 0.3, 1.0), options=options
        ).lr

    assert answers("ray") == answers("here")


@pytest.mark.slow
def test_ray_is_imported_only_when_asked_for():
    """The light twin is `test_optional_packages_are_imported_where_they_are_used`."""
    code = "import sys, etastar.cli.main, etastar.verbs.find.find; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def bad_input(*arguments: str) -> str:
    """The sentence; nothing was trained and no store made."""
    ran = run_here("find", "quadratic", "--effort", "glance", "--store", "lanes.db", *arguments)
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert not os.path.exists("lanes.db")
    return ran.sentence


ADDRESSES = {
    "nothing listens there": (f"127.0.0.1:{closed_port()}", ["there is no Ray cluster at 127.0.0.1:", "refused"]),
    "no such host": ("no.such.host.invalid:6379", ["there is no Ray cluster at no.such.host.invalid:6379"]),
    "no port": ("banana", ["the Ray address is 'banana'", "expected host:port"]),
    "a port that cannot be": ("127.0.0.1:99999", ["the Ray address is '127.0.0.1:99999'"]),
    "a client's address": (f"ray://127.0.0.1:{closed_port()}", ["there is no Ray cluster at ray://127.0.0.1"]),
}


@pytest.mark.parametrize(("address", "fragments"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_a_dead_address(tmp_path, monkeypatch, address, fragments):
    monkeypatch.chdir(tmp_path)
    sentence = bad_input("--on", "ray", "--ray-address", address)
    for fragment in [*fragments, "ray start --head"]:
        assert fragment in sentence


def test_a_dead_address_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", address := f"127.0.0.1:{closed_port()}")
    assert f"there is no Ray cluster at {address}" in bad_input("--on", "ray")


@pytest.mark.slow
def test_something_else_listens_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert f"no Ray cluster answers at {address}" in bad_input("--on", "ray", "--ray-address", address)


OPTIONS = {
    "an unknown place": (["--on", "mars"], ["on is 'mars'", "here, ray"]),
    "an address for nothing": (["--ray-address", "host:6379"], ["'host:6379'", "add --on ray or drop it"]),
}


@pytest.mark.parametrize(("arguments", "fragments"), OPTIONS.values(), ids=OPTIONS.keys())
def test_a_bad_option(tmp_path, monkeypatch, arguments, fragments):
    monkeypatch.chdir(tmp_path)
    sentence = bad_input(*arguments)
    for fragment in fragments:
        assert fragment in sentence


def test_without_ray(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "Ray is not installed; pip install 'etastar[ray]'" in bad_input("--on", "ray")
