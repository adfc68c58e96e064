"""What the bake-off's report and frontier make of scores: by hand."""

from __future__ import annotations

import json
import math
import re

import pytest
from benchmarks.bakeoff import recorded, report
from benchmarks.bakeoff.bars import coverage
from benchmarks.bakeoff.frontier import FREE, _bakeoff, points_of
from benchmarks.bakeoff.score import Score

GLANCE, QUICK = report.EFFORTS


def score(task: str, method: str, lost: float, seed: int = 0, covers: bool | None = None) -> Score:
    """A search of 320 steps for 160 that lost so much."""
    row = {
        "case": f"{task}/adam/wsd/160",
        "method": method,
        "seed": seed,
        "lr": 0.01,
        "steps": 320,
        "seconds": 3.0,
        "cpu": 2.0,
    }
    return Score(row, lost, 1 + lost, 0.0, failed=False, off=0.0, covers=covers, width=1.0)


def test_losing_cases_come_worst_first_and_are_means_over_seeds():
    found = [score("a", QUICK, 0.0), score("a", QUICK, 0.12, seed=1), score("b", GLANCE, 0.2), score("b", QUICK, 0.04)]
    found += [score("c", "fastai valley", 3.0)]
    assert report.losing(found) == [
        ["b/adam/wsd/160", GLANCE, "0.01", "+0.200", "1.20"],
        ["a/adam/wsd/160", QUICK, "0.01, 0.01", "+0.060", "1.06"],
    ]
    silent = Score(found[3].row | {"lr": None}, math.inf, math.inf, 100.0, failed=True, off=math.nan)
    assert report.losing([*found, silent])[0] == ["b/adam/wsd/160", QUICK, "0.01, none", "+0.040", "1.04"]
    assert report.taken(found)[0] == [GLANCE, 160, "3.00", "2.00"]


def test_what_changed_weighs_tasks_alike():
    found = [score(task, name, lost) for task, lost in (("a", 0.0), ("b", 0.1)) for name in (QUICK, "before: " + QUICK)]
    found += [score("a", recorded.USUAL, 0.2), score("b", recorded.USUAL, 0.2)]
    assert [line[2:5] for line in report.changed(found)] == [
        ["before: " + QUICK, "2", "+0.00"], [recorded.USUAL, "2", "+0.50"],
    ]  # fmt: skip


def test_coverage_is_counted_by_task_worst_first():
    found = [
        score("a", QUICK, 0.0, covers=True),
        score("b", QUICK, 0.0, covers=False),
        score("b", QUICK, 0.0, 1, covers=True),
    ]
    assert [line[:2] for line in coverage(found, QUICK)] == [["b", "1/2"], ["a", "1/1"]]


def test_a_record_row_keeps_what_it_takes_to_score_it_again():
    some = [score("a", QUICK, 0.01, covers=True)]
    some[0].row.update(low=0.001, high=0.1, note="")
    silent = Score(some[0].row | {"lr": None}, math.inf, math.inf, 100.0, failed=True, off=math.nan)
    row = report._row("a/adam/wsd/160", QUICK, [*some, silent])
    assert (row["lr"], row["regret"], row["ratio"], row["covers"], row["low"]) == ([0.01], [0.01], [1.01], [True], [0.001])
    assert row["points"] == [0.0, 100.0] and row["cost"] == 2.0


def test_the_frontier_counts_searches_without_a_rate_as_lost_and_shows_what_is_free():
    rows = [
        {"case": "a/adam/wsd/160", "method": QUICK, "regret": [0.01, 0.2], "points": [0, 0, 100.0, 0], "cost": 3.0},
        {"case": "b/adam/wsd/160", "method": QUICK, "regret": [0.01], "points": [0], "cost": 1.0},
        {"case": "b/adam/wsd/160", "method": "default 0.001", "regret": [0.04], "points": [0], "cost": 0.0},
        {"case": "b/adam/wsd/160", "method": "before: " + QUICK, "regret": [0.04], "points": [0], "cost": 0.0},
    ]
    ours, free = points_of(_bakeoff(rows))
    assert (
        ours["good"] == pytest.approx((0.25 + 1) / 2)
        and ours["cost"] == 2.0
        and ours["label"] == "quick"
        and ours["cells"] == 2
    )
    assert (free["family"], free["cost"], free["label"]) == ("nothing is measured", FREE, "default 0.001")


def test_policies_stand_beside_the_finders_as_their_own_record_has_them():
    title, says, *table = report.policies()[0].split("\n\n")
    (name,) = re.findall(r"record (\S+_policies)", title)
    told = map(json.loads, (report.RECORDS / name / "results.jsonl").read_text().splitlines())
    named = {row["policy"] for row in told}
    shown = [line.split(" | ")[0].removeprefix("| ") for line in table[0].splitlines()[2:]]
    assert set(shown) == named and {"psi", "psi-network", "linear"} <= named
    assert "the same number of trainings" in says
