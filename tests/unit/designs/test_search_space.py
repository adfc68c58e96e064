"""A search space: what is understood, and one sentence for what is not."""

from __future__ import annotations

import math

import pytest

from etastar import ProblemError
from etastar.designs import Space
from etastar.designs.search.optuna_samplers import grid, rungs
from etastar.designs.search.search_space import Parameter

SPACE = """
[lr]
low = 1e-4
high = 1.0
[momentum]
low = 0.0
high = 0.99
[schedule]
choices = ["constant", "wsd"]
[batch_size]
low = 16
high = 64
log = true
"""


def test_a_file_is_read(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    space = Space.read(tmp_path / "space.toml")
    assert [p.name for p in space] == ["lr", "momentum", "schedule", "batch_size"]
    assert space["lr"] == Parameter("lr", 1e-4, 1.0, log=True)
    assert space["momentum"] == Parameter("momentum", 0.0, 0.99)
    assert space["batch_size"] == Parameter("batch_size", 16, 64, log=True, integer=True)
    assert space["schedule"].choices == ("constant", "wsd")


WRONG = {
    "nothing": ({}, "is empty; expected at least one"),
    "no table": ({"lr": 0.1}, r"has lr = 0.1; expected a table \[lr\]"),
    "reversed": ({"lr": {"low": 1.0, "high": 0.1}}, "is reversed: low = 1, high = 0.1; expected low < high"),
    "one value": ({"lr": {"low": 0.1, "high": 0.1}}, "is a single value"),
    "zero on a logarithmic scale": ({"lr": {"low": 0, "high": 0.1}}, "low = 0; expected more than 0: raise it"),
    "a negative rate": ({"lr": {"low": -1e-3, "high": 0.1, "log": False}}, "low = -0.001; expected more than 0"),
    "zero weight decay, logarithmic": ({"weight_decay": {"low": 0.0, "high": 1.0, "log": True}}, "or say log = false"),
    "infinite": ({"lr": {"low": 1e-3, "high": math.inf}}, "high = inf; expected a finite number"),
    "a word": ({"lr": {"low": "small", "high": 1.0}}, "low = 'small'; expected a finite number"),
    "half a range": ({"lr": {"low": 1e-3}}, "has no high"),
    "no choices": ({"schedule": {"choices": []}}, r"choices = \[\]; expected a list of at least one"),
    "choices that are no list": ({"schedule": {"choices": "wsd"}}, "expected a list"),
    "a choice twice": ({"batch_size": {"choices": [32, 32]}}, "a choice twice"),
    "a choice of rates that is not positive": ({"lr": {"choices": [0.1, 0.0]}}, "expected more than 0"),
    "both": ({"lr": {"choices": [0.1], "low": 0.1}}, "has choices and a range"),
    "an unknown key": ({"lr": {"lo": 0.1, "high": 1.0}}, "has 'lo'; expected low, high, log, choices"),
    "log that is no truth": ({"lr": {"low": 0.1, "high": 1.0, "log": 1}}, "log = 1; expected true or false"),
}


@pytest.mark.parametrize(("tables", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_space_that_cannot_be_searched(tables, sentence):
    with pytest.raises(ProblemError, match=sentence):
        Space.of(tables)


def test_a_grid_holds_both_ends_and_no_more_points_than_trials():
    space = Space.of({"lr": {"low": 1e-3, "high": 1.0}, "momentum": {"low": 0.0, "high": 0.9}})
    points = grid(space, 20)
    assert len(points) == 16
    assert {p["lr"] for p in points} == {1e-3, 0.01, 0.1, 1.0}
    assert {p["momentum"] for p in points} == {0.0, 0.3, 0.6, 0.9}
    assert len(grid(Space.of({"lr": {"low": 1e-3, "high": 1.0}}), 64)) == 64
    assert len(grid(Space.of({"schedule": {"choices": ["constant", "wsd"]}}), 64)) == 2
    with pytest.raises(ProblemError, match="a grid over this space has at least 4 points but trials is 3"):
        grid(space, 3)


def test_a_grid_stays_within_a_range_that_no_decimal_number_ends():
    p = Parameter("lr", 0.0008539179037952621, 1.5149075278641357, log=True)
    values = p.grid(6)
    assert (values[0], values[-1], len(values)) == (p.low, p.high, 6)
    assert all(p.contains(v) for v in values)


def test_rungs_end_with_the_whole_schedule():
    assert [rungs(name, 90) for name in ("none", "median", "hyperband")] == [(90,), (22, 90), (10, 30, 90)]
    with pytest.raises(ProblemError, match="'hyperband' needs at least 18 steps"):
        rungs("hyperband", 17)
