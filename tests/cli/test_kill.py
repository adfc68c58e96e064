"""A real `etastar find`, stopped at any moment: the rerun goes on where it was, gives the same answer, leaves no process."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
import uuid
from pathlib import Path

import pytest

from cli_harness import run_here
from kill_harness import PROBLEM, start
from processes import PATIENCE, stored_lanes, wait_for_none

COMMAND = ("find", "user.py:problem", "--effort", "thorough", "--json", "-")


def undisturbed(folder: Path, store: str, engine: str) -> dict:
    """The answer of a run that nobody stops, in this process."""
    with contextlib.chdir(folder):
        ran = run_here(*COMMAND, "--store", store, "--engine", engine)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def check_kills(
    folder: Path, signals: list[int], pace: float, at_least: int, *, together: bool, most: int, workers: int = 1
) -> None:
    """Each run is let train for a second or more (what is stored at once), so the whole must take longer than the kills.

    `together`: lanes train as rows and finish in groups; else the loss looks at its numbers, and they come one by one.
    `workers`: of the first run; one and two take turns.
    """
    look, engine = ("pass", "vmap") if together else ("outputs.sum().item()", "auto")
    (folder / "user.py").write_text(PROBLEM.replace("LOOK", look))
    truth = undisturbed(folder, "undisturbed.db", engine)
    store, rng = folder / "killed.db", random.Random(0)
    lanes, interrupted = 0, 0
    for kill, sent in enumerate(signals):
        mark = uuid.uuid4().hex
        options = ("--store", store.name, "--engine", engine, "--workers", str(1 + (workers - 1 + kill) % 2))
        process = start(folder, mark, *COMMAND, *options, pace=pace)  # the answer does not depend on the workers
        deadline = time.monotonic() + PATIENCE
        target = lanes + rng.randint(1, most)  # far enough to have trained something, at no fixed moment
        while process.poll() is None and stored_lanes(store) < target and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        if process.poll() is None:
            interrupted += 1
            process.send_signal(sent)
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        if process.returncode in (130, 143):
            assert out == "" and "run the same command again to go on" in err
        else:
            assert process.returncode in (0, -signal.SIGKILL), err
        assert wait_for_none(mark) == [], "orphan processes"
        now = stored_lanes(store)
        assert now >= lanes, "what was stored stays stored"
        lanes = now
    assert interrupted >= at_least, "the runs ended before they could be killed"
    resumed = undisturbed(folder, store.name, engine)
    for key in ("lr", "eta_star", "eta_star_90", "transition_width", "rates", "flags"):
        assert resumed[key] == truth[key], key
    assert resumed["cost"]["gradient_steps"] == truth["cost"]["gradient_steps"]
    assert resumed["cost"]["new_gradient_steps"] < truth["cost"]["gradient_steps"], "the rerun went on from the store"
    assert stored_lanes(store) == stored_lanes(folder / "undisturbed.db"), "no lane is stored that the answer did not need"


def test_a_kill_of_two_workers_and_the_same_answer(tmp_path):
    check_kills(tmp_path, [signal.SIGKILL], 0.028, at_least=1, together=True, most=4, workers=2)


@pytest.mark.slow
def test_three_kills_of_rows_and_the_same_answer(tmp_path):
    check_kills(tmp_path, [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], 0.028, at_least=3, together=True, most=4)


@pytest.mark.slow
def test_twenty_kills_and_the_same_answer(tmp_path):
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT] * 7
    check_kills(tmp_path, signals[:20], 0.024, at_least=15, together=False, most=1)
