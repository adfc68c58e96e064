"""A process that is asked to end saves first, as with Ctrl-C; and says so in its last line and in its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.event import listens_for

from etastar.cli.signals import ending_as_interrupted
from etastar.store.database import Database
from kill_harness import PACE, PROBLEM
from processes import PATIENCE, stored_lanes, wait_for_none

NEVER_SAVED_BEFORE_THE_END = """
import time
import etastar
import etastar.store.run_store

etastar.store.run_store.SAVE_EVERY = 1e9


def train(lr, seed, report):
    for i in range(20):
        time.sleep(0.002)
        if not report(loss=1 / (1 + i * min(lr, 0.1)), lr=lr):
            break
    with open("done", "a") as file:
        file.write("lane\\n")


problem = etastar.Problem.from_loop(train, steps=20)
"""


def start(folder: Path, mark: str, *arguments: str) -> subprocess.Popen[str]:
    def as_usual() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-c", "from etastar.cli.main import main; main()", *arguments],
        cwd=folder,
        env={**os.environ, "ETASTAR_KILL_TEST": mark, PACE: "0.01"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=as_usual,
    )


def lanes_done(folder: Path) -> int:
    return (folder / "done").read_text().count("lane") if (folder / "done").exists() else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_what_is_finished_is_saved(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "user.py").write_text(NEVER_SAVED_BEFORE_THE_END)
    process = start(
        tmp_path, uuid.uuid4().hex, "find", "user.py:problem", "--effort", "thorough", "--workers", "1", "--store", "r.db"
    )
    deadline = time.monotonic() + PATIENCE
    tried = 0
    while process.poll() is None and time.monotonic() < deadline:
        done = lanes_done(tmp_path)
        if stored_lanes(tmp_path / "r.db") or (done > 12 and (tmp_path / "r.db").exists()):
            tried = done
            break
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    if process.returncode in (0, 1):
        pytest.skip("the machine was too slow to end it in time")
    assert process.returncode == 128 + number, err
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1] == f"ended by {number.name}; what was trained is kept: run the same command again to go on"
    assert tried and stored_lanes(tmp_path / "r.db") > 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_while_a_connection_is_given_back_is_no_traceback(
    error: type[BaseException], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLAlchemy's pool logs whatever happens there, and a process that ends printed it."""
    with closing(Database(str(tmp_path / "r.db"))) as database:

        @listens_for(database._engine, "reset")
        def _interrupted(*_: object) -> None:
            raise error

        with contextlib.suppress(KeyboardInterrupt), database.transaction() as connection:
            connection.exec_driver_sql("SELECT 1")
    assert bool(caplog.records) == (error is ValueError)


@pytest.mark.slow
def test_no_worker_is_left(tmp_path: Path) -> None:
    """The light twin is the second kill of `test_three_kills_and_the_same_answer`: two workers and this signal."""
    (tmp_path / "user.py").write_text(PROBLEM.replace("LOOK", "outputs.sum().item()"))
    mark = uuid.uuid4().hex
    process = start(tmp_path, mark, "find", "user.py:problem", "--workers", "2", "--store", "r.db")
    deadline = time.monotonic() + PATIENCE
    while not stored_lanes(tmp_path / "r.db") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, err
    assert wait_for_none(mark) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_what_was_set_is_set_again(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with ending_as_interrupted() as ended:
            with pytest.raises(KeyboardInterrupt, match=r"^$"):
                os.kill(os.getpid(), number)
                time.sleep(10)
            assert ended.by is number
            assert signal.getsignal(number) is signal.SIG_DFL, "a second one ends the process"
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ending_as_interrupted():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "nohup stays nohup"
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(number, before)


def test_a_thread_is_left_as_it_is() -> None:
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with ending_as_interrupted():
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert failures == []
