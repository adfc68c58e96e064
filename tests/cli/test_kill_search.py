"""A real `etastar search`, killed at any moment: the rerun ends with the same answer, and its study has each trial once."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import time
import uuid
from pathlib import Path

import optuna
import pytest

from cli_harness import run_here
from kill_harness import PROBLEM, start
from processes import PATIENCE, stored_lanes, wait_for_none

BATCH = 4
COMMAND = ("search", "user.py:problem", "--engine", "vmap", "--batch", str(BATCH), "--no-measure", "--json", "-")


def undisturbed(folder: Path, *options: str) -> dict:
    with contextlib.chdir(folder):
        ran = run_here(*COMMAND, *options)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def check_kills(folder: Path, kills: int, pace: float, sampler: str, pruner: str) -> None:
    (folder / "user.py").write_text(PROBLEM.replace("LOOK", "pass"))
    trials = BATCH * (kills + 2)  # a kill costs the search at most one batch, trained as lanes or one after the other
    options = ("--trials", str(trials), "--sampler", sampler, "--pruner", pruner)
    truth = undisturbed(folder, *options, "--store", "undisturbed/runs.db")
    store, rng, lanes, killed = folder / "killed/runs.db", random.Random(1), 0, 0
    for _ in range(kills):
        mark = uuid.uuid4().hex
        process = start(folder, mark, *COMMAND, *options, "--store", "killed/runs.db", pace=pace)
        deadline, target = time.monotonic() + PATIENCE, lanes + rng.randint(1, BATCH - 1)
        while process.poll() is None and stored_lanes(store) < target and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        if process.poll() is None:
            killed += 1
            process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        assert wait_for_none(mark) == [], "orphan processes"
        assert stored_lanes(store) >= lanes, "what was stored stays stored"
        lanes = stored_lanes(store)
    assert killed == kills, "it ended before it could be killed"
    resumed = undisturbed(folder, *options, "--store", "killed/runs.db")
    for key in ("lr", "best", "trials", "space", "flags", "yours"):
        assert resumed[key] == truth[key], key
    assert resumed["study"] == truth["study"]
    assert resumed["cost"]["gradient_steps"] == truth["cost"]["gradient_steps"]
    assert resumed["cost"]["new_gradient_steps"] < truth["cost"]["gradient_steps"], "the rerun went on from the store"
    assert stored_lanes(store) == stored_lanes(folder / "undisturbed/runs.db"), "no lane is stored that was not needed"
    url = f"sqlite:///{folder / 'killed/optuna.db'}"
    study = optuna.load_study(study_name=resumed["study"], storage=url)
    assert [t.user_attrs["etastar_trial"] for t in study.trials] == list(range(trials)), "each trial once"
    assert [t.params for t in study.trials] == [t["params"] for t in truth["trials"]]
    assert optuna.get_all_study_names(url) == [study.study_name]


@pytest.mark.slow
def test_a_kill_and_the_same_answer(tmp_path):
    """By default a search only goes on (`test_more_trials_go_on_from_what_is_there`), and it is `find` that is killed."""
    check_kills(tmp_path, 1, 0.014, "genetic", "none")


@pytest.mark.slow
@pytest.mark.parametrize(("sampler", "pruner"), [("tpe", "median"), ("cmaes", "none"), ("random", "hyperband")])
def test_many_kills_and_the_same_answer(tmp_path, sampler, pruner):
    check_kills(tmp_path, 6, 0.03, sampler, pruner)
