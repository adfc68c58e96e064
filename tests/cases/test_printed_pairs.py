"""Every rate printed beside a loss, an accuracy or a count is the rate of the lanes that gave it.

All pairs, in JSON and in the rows of the charts, are worked out again from the lanes that were run.
"""

from __future__ import annotations

import math
import statistics

import pytest

import etastar
from etastar.core.lane import LaneStatus
from etastar.core.randomness import derive_seed
from etastar.problems import builder
from etastar.reports.kinds import kind_of

SEARCH_SEEDS = {derive_seed(0, "best", 0), *(derive_seed(0, "full", i) for i in range(5))}
"""Of the lanes that look for the best rate; those that look for eta* have others."""
OPTIONS = etastar.Options(store=":memory:", workers=1, engine="mlp")


def digits(**changes):
    return builder("digits-mlp")(width=16, steps=48, **changes)


def lanes_by_rate(runs, **where):
    """(rate) -> outcomes of the lanes with these attributes."""
    found: dict[float, list] = {}
    for o in runs:
        if all(getattr(o.lane, key) == value for key, value in where.items()):
            found.setdefault(o.lane.lr, []).append(o)
    return found


def mean_loss(outcomes):
    """The loss an ordinary reader expects beside a rate: None where a lane failed, else the mean validation loss."""
    if any(o.status is LaneStatus.DIVERGED for o in outcomes):
        return None
    return statistics.fmean(o.valid_loss for o in outcomes)


def chart_rows(answer, name):
    """The rows a chart of the answer's page draws."""
    spec = kind_of(answer).page(answer).charts[name].to_dict()
    return [row for rows in spec.get("datasets", {}).values() for row in rows]


@pytest.mark.parametrize(("effort", "start"), [("glance", 1.0), ("quick", 2.0), ("thorough", 2.0)])
def test_find_prints_every_loss_beside_its_own_rate(effort, start):
    answer = etastar.find(digits(), effort=effort, start=start, options=OPTIONS)
    assert any(o.status is LaneStatus.DIVERGED for o in answer.runs), "a lane that failed must be among them"
    printed = answer.to_json()["best"]["rungs"]
    rows = [r for r in chart_rows(answer, "best") if "failed" in r]
    drawn = {(r["order"], r["lr"]): None if r["failed"] else r["loss"] for r in rows}
    assert len(drawn) == sum(len(rung["points"]) for rung in printed) >= 3
    for rung in printed:
        best = [o for o in answer.runs if o.lane.steps == rung["steps"] and o.lane.seed in SEARCH_SEEDS]
        assert [p["lr"] for p in rung["points"]] == sorted(p["lr"] for p in rung["points"])
        for point in rung["points"]:
            own = [o for o in best if o.lane.lr == point["lr"]]
            assert own, f"{point['lr']} was trained by no lane"
            wanted = mean_loss(own)
            assert point["loss"] == (wanted if wanted is None else pytest.approx(wanted, rel=1e-12))
            assert drawn[rung["steps"], point["lr"]] == point["loss"]
    assert {p["loss"] is None for rung in printed for p in rung["points"]} == {True, False}


def test_a_loss_expected_at_the_rate_in_use_is_that_of_its_lane():
    answer = etastar.find(digits(), effort="quick", options=OPTIONS)
    rung = next(r for r in reversed(answer.best.rungs) if r.best is not None)
    known = {lr: loss for lr, _, loss in rung.points if loss is not None}
    moved = answer.lr.value / rung.best
    best = min(known.values())
    for lr, loss in known.items():
        assert answer.best.loss_ratio(lr * moved) == pytest.approx(loss / best, rel=1e-9)


def test_eta_star_counts_the_lanes_of_each_rate():
    answer = etastar.eta_star(digits(), precision=etastar.Precision(0.5, 8, 8, 1), options=OPTIONS)
    for rate in answer.band.rates:
        own = [o for o in answer.runs if o.lane.lr == rate.lr]
        assert (rate.runs, rate.trained, rate.diverged) == (
            len(own),
            sum(o.trained for o in own),
            sum(o.status is LaneStatus.DIVERGED for o in own),
        )
    assert any(rate.diverged for rate in answer.band.rates)


def check_cells(cells, runs, **where):
    by_rate = lanes_by_rate(runs, **where)
    assert cells
    for cell in cells:
        own = by_rate[cell["lr"]]
        losses = sorted(math.inf if o.status is LaneStatus.DIVERGED else o.valid_loss for o in own)
        middle = statistics.median(losses)
        assert cell["loss"] == (pytest.approx(middle, rel=1e-12) if math.isfinite(middle) else None)
        assert cell["n"] == len(own) and cell["trained"] == sum(o.trained for o in own)
        shares = [o.valid_accuracy for o in own if o.status is not LaneStatus.DIVERGED]
        assert cell["metric"] == (pytest.approx(statistics.median(shares)) if shares else None)


def test_sensitivity_prints_the_cells_of_its_lanes():
    answer = etastar.sensitivity(digits(), half_decades=True, seeds=3, options=OPTIONS)
    check_cells(answer.to_json()["cells"], answer.runs)
    drawn = [r for r in chart_rows(answer, "loss") if {"lr", "loss"} <= r.keys()]
    printed = {(c["lr"], c["loss"]) for c in answer.to_json()["cells"]}
    own = {(o.lane.lr, o.valid_loss) for o in answer.runs}
    assert drawn and all((r["lr"], r["loss"]) in printed | own for r in drawn if r["lr"] in {lr for lr, _ in printed})


def test_surface_prints_the_cells_of_its_lanes():
    answer = etastar.surface(digits(), schedules=["constant", "linear"], horizons=[24, 48], seeds=2, options=OPTIONS)
    told = answer.to_json()
    for schedule in ("constant", "linear"):
        for horizon in (24, 48):
            cells = [c for c in told["cells"] if (c["schedule"], c["horizon"]) == (schedule, horizon)]
            policy = etastar.policies.named.policy_over(schedule, horizon)
            check_cells(cells, answer.runs, steps=horizon, policy=policy)
    for best in told["rows"]:
        row = answer.data.row(best["schedule"], best["horizon"])
        assert best["lr"]["value"] is None or row[0].lr <= best["lr"]["value"] <= row[-1].lr
    drawn = {(r["schedule"], r["steps"], r["lr"], r["loss"]) for r in chart_rows(answer, "front") if "schedule" in r}
    printed = {(c["schedule"], str(c["horizon"]), c["lr"], c["loss"]) for c in told["cells"]}
    assert drawn and drawn <= printed


def test_momentum_prints_the_cells_of_its_own_lanes():
    answer = etastar.momentum(digits(), values=(0.0, 0.9), seeds=2, options=OPTIONS)
    for row in answer.to_json()["rows"]:
        told = {c["lr"]: c for c in row["cells"]}
        own = next(r for r in answer.rows if r.value == row["value"])
        for record in own.data.records:
            assert record.lr in told
        losses: dict[float, list[float]] = {}
        for record in own.data.records:
            losses.setdefault(record.lr, []).append(record.loss)
        for lr, cell in told.items():
            middle = statistics.median(losses[lr])
            assert cell["loss"] == (pytest.approx(middle) if math.isfinite(middle) else None)
        trained = {(o.lane.lr, o.valid_loss) for o in answer.runs if o.status is not LaneStatus.DIVERGED}
        assert {(r.lr, r.loss) for r in own.data.records if math.isfinite(r.loss)} <= trained
    assert answer.best is not None
    assert answer.lr.value == next(r for r in answer.rows if r.value == answer.best.value).best.lr.value


def test_search_prints_every_trial_with_its_own_lanes():
    space = {"lr": {"low": 0.01, "high": 30.0}, "momentum": {"low": 0.0, "high": 0.9}}
    answer = etastar.search(digits(), sampler="random", trials=8, space=space, options=OPTIONS)
    by_lane = {(o.lane.lr, o.lane.settings): o for o in answer.runs[: len(answer.trials)]}
    for trial in answer.to_json()["trials"]:
        own = by_lane[trial["lr"], (("momentum", trial["params"]["momentum"]),)]
        worst = 2 * own.first_valid_loss
        failed = own.status is LaneStatus.DIVERGED
        assert trial["loss"] == pytest.approx(worst if failed else min(own.valid_loss, worst), rel=1e-12)
        assert trial["diverged"] == failed
    drawn = {(r["trial"], r["lr"]) for r in chart_rows(answer, "rates") if "trial" in r}
    assert drawn == {(t.number, t.lr) for t in answer.trials}


def test_scale_prints_each_members_own_rate():
    family = lambda width=8: builder("digits-mlp")(width=width, steps=96)
    answer = etastar.scale(
        family, axes={"width": [8, 16, 32]}, to={"width": 64}, measure="best", effort="glance", options=OPTIONS
    )
    for member in answer.to_json()["members"]:
        own = etastar.find(family(**member["sizes"]), effort="glance", options=OPTIONS)
        assert member["lr"]["value"] == pytest.approx(own.lr.value, rel=1e-9)
