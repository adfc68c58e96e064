"""The bake-off's peers: rows survive a kill, replayed trials read the curves, LR-free trainings are paired with lanes."""

from __future__ import annotations

import json
import logging
import math
import warnings

import numpy as np
import pytest
import torch

from etastar.core.lane import Lane, Until
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.engine.loop import LoopEngine
from etastar.engine.validation import samples_for


def test_rows_are_added_once_and_survive_a_half_written_line(tmp_path):
    from benchmarks.bakeoff.rows import Rows, read, suggestion

    path = tmp_path / "rows.jsonl"
    first, second = (suggestion("mlp3/adam/constant/160", "a finder", seed, 0.1) for seed in range(2))
    assert Rows(path).add([first]) == 1
    with path.open("a") as file:
        file.write(json.dumps(second)[:20])
    rows = Rows(path)
    assert ("mlp3/adam/constant/160", "a finder", 0) in rows
    assert rows.add([first, second]) == 1
    assert list(read(path)) == [first, second]


@pytest.fixture
def logs_and_backend(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    with warnings.catch_warnings():
        yield
    logging.disable(logging.NOTSET)


def test_a_finder_that_raises_gives_no_rate_and_a_note(monkeypatch, logs_and_backend):
    from benchmarks.bakeoff import finders

    def broken(subject):
        raise RuntimeError("no curve")

    monkeypatch.setitem(finders.FINDERS, "ignite", (broken, ("ignite",)))
    rows = finders.test(("ignite", "mlp3", "momentum", 0))
    assert {row["case"] for row in rows} == {c.name for c in finders._cases("mlp3", "momentum")}
    assert all(row["lr"] is None and row["note"] == "RuntimeError: no curve" for row in rows)


@pytest.fixture
def trials():
    from benchmarks.bakeoff.curves import ORACLE_SEEDS, SEARCH_SEEDS
    from benchmarks.bakeoff.replay import Curve, Trials

    log_lrs = np.arange(-4, 1.0)
    bowl = Curve(log_lrs, (log_lrs + 2) ** 2, np.full(5, 160.0), np.ones(5))
    early = Curve(log_lrs, (log_lrs + 1) ** 2, np.full(5, 40.0), np.ones(5))
    own = {(160, seed): bowl for seed in ORACLE_SEEDS}
    own |= {(n, seed): early for n in (20, 40, 80) for seed in SEARCH_SEEDS}
    return Trials(own, 160, 0)


def test_a_replayed_trial_interpolates_in_log_rate_and_is_level_beyond_the_ends(trials):
    assert trials.run(10**-2.5) == pytest.approx(0.5)
    assert trials.run(1e-9) == 4
    assert trials.spent == 320


def test_a_continued_trial_pays_only_for_what_is_new(trials):
    trials.continued(1e-2, 0, 40)
    trials.continued(1e-2, 40, 160)
    assert trials.spent == pytest.approx(40 + 0.75 * 160)


def test_searches_find_the_bottom_of_a_replayed_bowl(trials):
    pytest.importorskip("optuna").logging.set_verbosity(50)
    from benchmarks.bakeoff.replay import hyperband, random_search, tpe

    assert abs(math.log10(tpe(trials, 0, 30, startup=3)) + 2) < 0.5
    assert abs(math.log10(random_search(trials, 0, 100)) + 2) < 0.5
    trials.spent = 0
    assert hyperband(trials, 0)
    assert 3 * 160 <= trials.spent <= 4 * 160


def test_lr_free_training_is_paired_with_the_lane_of_its_seed():
    from benchmarks.bakeoff.lr_free import Method, held_out, train
    from benchmarks.bakeoff.tasks import make_problem

    problem, seed = make_problem("mlp3", "momentum", "wsd", 20, 0.05), derive_seed(0, "bakeoff", 20)
    lane = LoopEngine().train_lane(problem, Lane(0.05, seed, 20, until=Until.END, policy=problem.policy))
    sgd = Method(lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    with isolated_randomness(), steady_numerics():
        model, losses = train(problem, sgd, seed)
        batches = problem.valid_batches.some(samples_for(problem, lane.lane))
        loss, accuracy = held_out(problem, model, (batch for batch, _ in batches))
    assert (loss, accuracy) == pytest.approx((lane.valid_loss, lane.valid_accuracy), rel=1e-12)
    assert losses[-1] == lane.trace[-1].loss


def test_curves_are_read_from_the_store_as_they_were_trained(tmp_path, monkeypatch):
    from benchmarks.bakeoff import curves, replay

    for module in (curves, replay):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
        monkeypatch.setattr(module, "plan", lambda full=False: [(20, 0), (40, 10)])
    assert replay.curves("overfit", "momentum", "wsd") is None
    _, runs = curves.train("overfit", "momentum", "wsd")
    found = replay.curves("overfit", "momentum", "wsd")
    lanes = len(curves.grid("momentum"))
    for i, where in enumerate([(20, 0), (40, 10)]):
        own = runs[i * lanes : (i + 1) * lanes]
        assert list(found[where].steps) == [o.steps for o in own]
        pairs = [(loss, o.valid_loss) for loss, o in zip(found[where].losses, own, strict=True) if o.valid_loss is not None]
        assert pairs and all(loss == valid for loss, valid in pairs)
        diverged = [loss for loss, o in zip(found[where].losses, own, strict=True) if o.valid_loss is None]
        assert all(loss >= own[0].first_loss for loss in diverged)
