"""`find` on a real two-node Ray cluster: the local answer, also when a node is killed in mid-run; no orphans."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from cli_harness import run_here
from etastar import Options, Precision, Problem, find
from etastar.core.randomness import derive_seed
from etastar.problems import builder
from etastar.verbs.find.eta_star import eta_star
from kill_harness import interruptible
from processes import processes, stored_lanes, wait_for_none

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture
def cluster():
    """Two nodes of one CPU each, which were not told where etastar is."""
    from ray.cluster_utils import Cluster

    path = os.environ.pop("PYTHONPATH", None)
    try:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
    finally:
        if path is not None:
            os.environ["PYTHONPATH"] = path
    yield cluster
    cluster.shutdown()


def table(answer) -> dict:
    columns = answer.runs.columns()
    del columns["seconds"]
    return {name: [str(value) for value in values] for name, values in columns.items()}


def test_the_answer_is_the_local_one_lane_by_lane(cluster, tmp_path):
    plans: list[str] = []
    local = find(builder("quadratic")(), effort="thorough", options=Options(store=tmp_path / "here.db"))
    there = find(
        builder("quadratic")(),
        effort="thorough",
        options=Options(
            store=tmp_path / "ray.db",
            on="ray",
            ray_address=cluster.address,
            engine=local.engine_choice.engine,
            on_plan=lambda sentence, lanes: plans.append(sentence),
        ),
    )
    assert table(there) == table(local)
    for key in ("lr", "eta_star", "eta_star_end", "rates", "flags", "engine"):
        assert there.to_json()[key] == local.to_json()[key]
    assert "on Ray: 2 nodes, 2 CPUs" in plans[0]


def slow_problem(marks: Path, seconds: float) -> Problem:
    """Descent on w^2, which notes where and when every lane begins and ends."""

    def train(lr, seed, report):
        import ray

        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "here"
        fd = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, f"begin {lr!r}/{seed} {node} {os.getpid()}\n".encode())
        w = 1.0 + seed % 7
        while report(loss=w * w):
            time.sleep(seconds)
            w -= lr * 2 * w
        os.write(fd, f"end {lr!r}/{seed} {node} {os.getpid()}\n".encode())
        os.close(fd)

    return Problem.from_loop(train, steps=40, lr=0.1, loss_threshold=0.5, name="slow")


def marked(marks: Path, node: str | None = None) -> tuple[Counter[str], Counter[str]]:
    """How often each lane began and ended on the cluster (on one node of it)."""
    rows = [line.split() for line in marks.read_text().splitlines()]
    rows = [row for row in rows if row[2] != "here" and node in (None, row[2])]
    return tuple(Counter(lane for what, lane, *_ in rows if what == kind) for kind in ("begin", "end"))


def workers(marks: Path, node: str) -> set[int]:
    """Processes that trained on a node."""
    rows = [line.split() for line in marks.read_text().splitlines()]
    return {int(row[3]) for row in rows if row[2] == node}


def test_a_node_is_killed_and_only_its_lanes_are_trained_again(cluster, tmp_path, capfd):
    marks = tmp_path / "marks"
    (doomed,) = cluster.worker_nodes
    lost: Counter[str] = Counter()
    delivered: list[object] = []

    def kill():
        """Early in a lane of the node. In a thread: a driver that waits would give the node nothing to lose."""
        deadline, before = time.monotonic() + 120, Counter()
        while not lost and time.monotonic() < deadline:
            time.sleep(0.02)
            begun, ended = marked(marks, doomed.node_id) if marks.exists() else (Counter(), Counter())
            just_begun, before = begun - before, begun
            if just_begun and ended and len(delivered) >= 3:
                time.sleep(0.3)
                cluster.remove_node(doomed, allow_graceful=False)
                for pid in workers(marks, doomed.node_id):  # a raylet's workers outlive it for a moment; a machine's do not
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                begun, ended = marked(marks, doomed.node_id)
                lost.update(begun - ended)

    store = tmp_path / "ray.db"
    options = Options(
        store=store, on="ray", ray_address=cluster.address, on_outcome=lambda outcome, new: delivered.append(outcome)
    )
    precision = Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1)
    killer = threading.Thread(target=kill)
    killer.start()
    there = eta_star(slow_problem(marks, 0.1), precision=precision, options=options)
    killer.join()
    here = Options(store=tmp_path / "here.db")
    local = eta_star(slow_problem(tmp_path / "unseen", 0.0), precision=precision, options=here)
    assert there.estimate.ok and there.band == local.band
    assert table(there) == table(local)

    assert len(lost) == 1, "one CPU, one lane in flight on the node that died"
    begun, ended = marked(marks)
    again = {lane for lane, times in begun.items() if times > 1}
    assert again == set(lost), "only the lane that was in flight is trained again"
    assert all(begun[lane] == 2 for lane in again) and set(ended.values()) == {1}
    seeds = [derive_seed(o.lane.seed, "loop") % 2**32 for o in there.runs]  # as a loop is given them
    assert set(begun) == {f"{o.lane.lr!r}/{seed}" for o, seed in zip(there.runs, seeds, strict=True)}
    assert stored_lanes(store) == len(begun) == stored_lanes(tmp_path / "here.db"), "every lane is stored once"
    assert there.cost["new_gradient_steps"] == local.cost["new_gradient_steps"]
    said = capfd.readouterr()
    assert said.out == "", "what Ray says of dead nodes would spoil --json -"
    assert "Raylet" not in said.err


USER = """
import os
import time
import etastar


def train(lr, seed, report):
    w = 1.0 + seed % 7
    while report(loss=w * w):
        time.sleep(float(os.environ.get("ETASTAR_TEST_SLEEP", "0")))
        w -= lr * 2 * w


problem = etastar.Problem.from_loop(train, steps=40, lr=0.1, loss_threshold=0.5)
"""


def commands(pids: list[int]) -> list[str]:
    return [(Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")[:200] for pid in pids]


def test_a_cluster_without_its_head_is_given_up_in_a_sentence(cluster, tmp_path):
    """Ray would end the process after a minute, with what was not saved yet."""
    (tmp_path / "user.py").write_text(USER.replace('"0"', '"0.1"'))  # the nodes do not share our environment
    command = [str(Path(sys.executable).with_name("etastar")), "find", "user.py:problem", "--effort", "thorough"]
    process = subprocess.Popen(
        [*command, "--store", "lanes.db", "--json", "-", "--on", "ray", "--ray-address", cluster.address],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and stored_lanes(tmp_path / "lanes.db") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    for part in cluster.head_node.all_processes["gcs_server"]:
        part.process.kill()
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (2, ""), err
    assert "etastar: the Ray cluster is gone or has had nothing to train on for 20 s; run the same command again" in err
    assert stored_lanes(tmp_path / "lanes.db") >= 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_driver_leaves_no_process_and_the_rerun_goes_on(tmp_path, how):
    """The cluster it started ends with it, however it ends."""
    (tmp_path / "user.py").write_text(USER)
    command = [str(Path(sys.executable).with_name("etastar")), "find", "user.py:problem", "--effort", "thorough"]
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [*command, "--store", "lanes.db", "--json", "-", "--on", "ray", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "ETASTAR_KILL_TEST": mark, "ETASTAR_TEST_SLEEP": "0.02"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and stored_lanes(tmp_path / "lanes.db") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(processes(mark)) > 4, "driver, head, workers"
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert out == ""
    assert "Traceback" not in err, err
    assert commands(wait_for_none(mark)) == [], "orphan processes"

    def answer(*arguments: str) -> dict:
        with contextlib.chdir(tmp_path):
            ran = run_here("find", "user.py:problem", "--effort", "thorough", "--json", "-", *arguments)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    kept = stored_lanes(tmp_path / "lanes.db")
    resumed, truth = answer("--store", "lanes.db"), answer("--store", "undisturbed.db")
    assert kept >= 2 and resumed["cost"]["new_gradient_steps"] < truth["cost"]["gradient_steps"]
    for key in ("lr", "eta_star", "rates", "flags"):
        assert resumed[key] == truth[key]
