"""An earlier record of the bake-off: its curves from the pairs it keeps, its peers' rows, and searches that need no more."""

from __future__ import annotations

import json
import math
import re
from collections import Counter

import numpy as np
import pytest
from benchmarks.bakeoff import ours, recorded
from benchmarks.bakeoff.curves import grid
from benchmarks.bakeoff.rows import Rows
from benchmarks.bakeoff.tasks import TASKS, Case

CASE = "deep/momentum/wsd/160"


def test_pairs_between_knots_tell_the_curve_that_they_were_read_off():
    knots = np.array(grid("momentum"))
    values = np.cos(3 * knots)
    rates = 10 ** np.random.default_rng(0).uniform(-4, 0.25, 60)
    read = np.round(np.interp(np.log10(rates), knots, values), 4)
    fit = recorded.Fit.of(knots, rates, read)
    for lr in (1e-9, 10**-2.4, 10**-0.1):
        nats, sure = fit.lost(lr)
        assert sure and nats == pytest.approx(np.interp(math.log10(lr), knots, values), abs=5e-4)
    assert not fit.lost(2.0)[1], "no pair lies near the last knot"


def test_one_method_is_told_by_the_others():
    own = recorded.pairs()[CASE]
    rest = recorded.fit(CASE, [pair for pair in own if pair[0] != "etastar quick (3.2)"])
    told = [(rest.lost(lr), lost) for method, lr, lost in own if method == "etastar quick (3.2)"]
    assert len(told) == 5 and all(sure and abs(nats - lost) < 1e-3 for (nats, sure), lost in told)


def test_carried_rows_are_the_records():
    rows = [row for row in recorded.carried() if row["case"] == CASE]
    kept = [row for (case, _), row in recorded.recorded().items() if case == CASE]
    count = Counter(row["method"] for row in rows)
    assert count["before: etastar quick (3.2)"] == 5 and not any(name.startswith("etastar") for name in count)
    fastai = next(row for row in kept if row["method"] == "fastai valley")
    told = [row for row in rows if row["method"] == "fastai valley"]
    assert [row["lr"] for row in told] == fastai["lr"]
    assert told[0]["steps"] / 160 == pytest.approx(fastai["cost"], abs=0.004)


def test_a_search_begins_where_the_record_says_and_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(ours, "SEEDS", {160: 1, 640: 1})
    case, rows = Case(TASKS["overfit"], "momentum", "constant", 160), Rows(tmp_path / "rows.jsonl")
    row = recorded.recorded()["overfit/momentum/constant/160", recorded.USUAL]
    assert recorded.usual_rate("overfit", "momentum") == row["lr"][0]
    [glance, quick] = ours.units([case], rows)
    found = ours.search(glance)[0]
    assert rows.add([found]) == 1 and ours.units([case], rows) == [quick]
    assert 0 < found["steps"] <= 0.6 * 160 and found["low"] < found["lr"] < found["high"] and found["cpu"] > 0
    lines = recorded.verdicts([json.loads(json.dumps(found))])
    assert lines[0][:4] == ["etastar glance (0.6)", "160", "1", "1"] and re.fullmatch(r"0\.0%|100\.0%", lines[0][4])


def test_the_oracle_is_the_rate_that_loses_nothing_and_losses_stand_on_its_anchor(monkeypatch):
    case = Case(TASKS["deep"], "momentum", "wsd", 160)
    monkeypatch.setattr(recorded, "anchored", lambda: {CASE: {"nats": 0.4, "chance": 2.4}})
    true, quick = recorded.told(case), recorded.recorded()[CASE, "etastar quick (3.2)"]
    assert true.regret(10**true.oracle) == 0 and true.ratio(10**true.oracle) == 1
    for lr, lost, points in zip(quick["lr"], quick["regret"], quick["points"], strict=True):
        assert true.regret(lr) == pytest.approx(lost, abs=2e-3) and true.accuracy_lost(lr) == pytest.approx(points, abs=0.05)
        assert true.ratio(lr) == pytest.approx(1 + lost / 0.4, abs=6e-3)
    assert true.fails(3.0) and 10**true.low <= 10**true.oracle <= 10**true.high
