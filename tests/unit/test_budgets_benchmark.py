"""The benchmark of budgets: what a price bought, by hand; the command's way to weigh, on the readings of its record."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from benchmarks.cases.case import table
from benchmarks.long_horizon.arms import SHIPPED, SHORT, SQUEEZED, shipped_row
from benchmarks.long_horizon.budgets import FITTED
from benchmarks.long_horizon.paid import summary
from benchmarks.long_horizon.tasks import Cell

from etastar.designs.best_rate.budgeted import UNDECIDED
from etastar.designs.best_rate.rate_prior import BestSeen, RatePrior

RECORDS = Path(__file__).parents[2] / "benchmarks/records"


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (RECORDS / name / "results.jsonl").read_text().splitlines()]


def test_a_price_by_hand():
    rates, losses = [1e-3, 1e-2, 1e-1], [1.0, 0.5, 1.0]
    truth = {"kind": "truth", "cell": "digits/momentum/constant", "steps": 2500, "rates": rates, "losses": losses}
    arm = {"kind": "arm", "cell": truth["cell"], "steps": 2500, "arm": "budget", "budget": 0.3, "seed": 0, "flags": []}
    exact, far = (
        arm | {"lr": 0.01, "low": 1e-3, "high": 0.1, "cost": 0.2},
        arm | {"lr": 0.1, "low": 0.05, "high": 0.2, "cost": 0.3},
    )
    none = arm | {"lr": None, "low": None, "high": None, "cost": 0.1, "arm": "quick", "budget": 3.2}
    text = summary([truth, exact, far, none], table)
    assert "| 2500 | budget | 0.3 | 2 | 0.250 | 50% | 50% | 0.250 | 1/2 = 50% [9%, 91%] | 1.30 |" in text
    assert "| 2500 | quick | 3.2 | 1 | 0.100 | 0% | 0% | 0.500 |  |  |" in text, "no answer loses everything"
    assert "| 2500 | digits/momentum/constant | --budget 0.3 | 0.1 | 0.01 | +0.500 |" in text


def test_the_command_moves_the_rate_of_its_arm_and_keeps_its_interval_as_wide():
    found = rows("2026-11-26_long_horizon")
    arms = {(r["cell"], r["budget"], r["arm"]): r for r in found if r["kind"] == "arm"}
    shipped = [r for r in found if r.get("arm") == SHIPPED]
    assert len(shipped) == 96
    width = lambda r: math.log10(r["high"] / r["low"])
    for row in shipped:
        cell, budget = row["cell"], row["budget"]
        own = arms.get((cell, budget, SHORT)) or arms[cell, budget, SQUEEZED]
        same = own if own["left"] <= UNDECIDED else arms[cell, 0.0, "prior"]
        assert width(row) == pytest.approx(width(same), abs=1e-4)


def test_lanes_that_have_not_decided_leave_the_prior():
    prior, cell = RatePrior(-1.5, 0.4, 0.6, 0.1, 0.1), Cell("digits", "momentum", "constant")
    seen = BestSeen(-3.0, 500, 0.25)
    row = {"budget": 0.05, "seed": 0, "cost": 0.04, "readings": [list(seen)]}
    undecided, decided = (shipped_row(cell, row | {"left": left}, prior) for left in (0.95, 0.5))
    assert math.log10(undecided["lr"]) == pytest.approx(prior.at(10_000).mean)
    assert decided["lr"] < 10 ** prior.at(10_000, [seen]).mean


def test_the_loose_level_loses_less_at_every_horizon_and_price_above_two_per_cent():
    lines = [line.split(" | ") for line in (RECORDS / "2026-11-26_budgets/README.md").read_text().splitlines()]
    lost = {tuple(line[:3]): float(line[7]) for line in lines if len(line) == 10 and line[7][:1] == "0"}
    for steps, price in (
        (steps, price) for steps in ("| 2500", "| 10000", "| 40000") for price in ("0.05", "0.1", "0.3", "0.6")
    ):
        assert lost[steps, "budget", price] < lost[steps, FITTED, price]
    assert lost["| 10000", "budget", "0.6"] < lost["| 10000", "budget", "0.3"] < lost["| 10000", "budget", "0.05"]
