"""Two people measure the same network at the same moment, each in a process of their own, with one store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli_harness import HEADER
from processes import PATIENCE
from store_cases import rows

COMMAND = ("find", "user.py:p", "--effort", "thorough", "--workers", "1", "--json", "-")

SLOW = """
import time

def slow(outputs, targets):
    time.sleep(0.004)
    outputs.sum().item()  # numbers looked at: no lanes as rows, they finish one by one
    return F.cross_entropy(outputs, targets)

p = problem(steps=60, loss=slow)
"""


def start(folder: Path, url: str) -> subprocess.Popen[str]:
    code = "from etastar.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *COMMAND, "--store", url],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    (tmp_path / "user.py").write_text(HEADER + "\np = problem(steps=60)\n")
    return tmp_path


def facts(found: dict) -> dict:
    return {key: found[key] for key in ("lr", "eta_star", "eta_star_90", "transition_width", "rates", "engine")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_finds_at_once(kind: str, problem: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{problem / 'runs.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")
    one, two = (answer(process) for process in [start(problem, url), start(problem, url)])
    assert facts(one) == facts(two)
    again = answer(start(problem, url))
    assert facts(again) == facts(one)
    assert again["cost"]["new_gradient_steps"] == 0, "all of it is stored"
    steps = one["cost"]["gradient_steps"]
    assert rows(url, "SELECT sum(steps) FROM run") == [(steps,)], "each lane once"
    assert rows(url, "SELECT count(*) FROM problem") == [(1,)]
    assert rows(url, "SELECT count(*) FROM engine_choice") == [(1,)]
    stray = "SELECT count(*) FROM (SELECT r.key FROM run r JOIN step s ON s.run_key = r.key GROUP BY r.key, r.steps "
    assert rows(url, stray + "HAVING count(*) > r.steps) AS more") == [(0,)], "no lane is a mixture of two"


@pytest.mark.slow
def test_a_killed_find_goes_on_from_the_server(problem: Path, postgres_url: str) -> None:
    with (problem / "user.py").open("a") as file:
        file.write(SLOW)
    killed = start(problem, postgres_url)
    deadline = time.monotonic() + PATIENCE
    tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'run'"
    while time.monotonic() < deadline and killed.poll() is None:
        if rows(postgres_url, tables) == [(1,)] and rows(postgres_url, "SELECT count(*) FROM run") > [(3,)]:
            break
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    ((before,),) = rows(postgres_url, "SELECT sum(steps) FROM run")
    resumed = answer(start(problem, postgres_url))
    assert killed.returncode == -signal.SIGKILL
    cost = resumed["cost"]
    assert cost["new_gradient_steps"] == cost["gradient_steps"] - before, "nothing that was stored is trained again"
    assert facts(answer(start(problem, "undisturbed.db"))) == facts(resumed)
