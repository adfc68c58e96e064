"""The study of Psi: conclusions from rows of known laws, numbers chosen on other groups, averaged weights, and all of it."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from etastar import Criterion, Lane, Options
from etastar.core import Until
from etastar.engine import LoopEngine
from etastar.policies import Constant, Schedule
from etastar.problems.small import FAMILIES, Task
from etastar.problems.small.family import OPTIMIZERS
from etastar.studies import run_study
from etastar.studies.data import load_data
from etastar.studies.psi import tasks
from etastar.studies.psi.arms import ARMS, HIGH, LINEAR, WRONG_PEAK, at_peak
from etastar.studies.psi.averaged import WEIGHT, Averaged, ScheduleFree
from etastar.studies.psi.driven import scored, steps_to_target
from etastar.studies.psi.recorded import Experiments
from etastar.studies.psi.study import STUDY
from etastar.studies.psi.tables import greedy_table, halves_of
from etastar.studies.psi.tasks import Size, tasks_of
from etastar.studies.psi.unknown_horizon import KNOWN, as_driven, candidates, pooled
from etastar.studies.study import Setting

PEAK = 0.1


@pytest.fixture(scope="module")
def quick() -> Setting:
    return Setting(load_data(None), "quick")


def recorded(key: dict, group: str, rng: random.Random) -> dict:
    """Experiments of a task whose ideal rate is .8 of linear decay, whatever the path; greed wants twice linear decay."""
    cells = [(path, s) for path in ("linear", "half") for s in (0.1, 0.25, 0.5, 0.75, 0.9)]
    ideal = {cell: math.log(0.8 * (1 - cell[1])) for cell in cells}
    forks = [
        [path, s, -s, math.log(m * (1 - s)), -abs(math.log(m / 2)), -abs(math.log(m / 0.8))]
        for path, s in cells
        for m in (0.25, 0.5, 1.0, 2.0, 4.0)
    ]
    return {
        **key,
        "family": key["task"],
        "group": group,
        "peak": PEAK * math.exp(rng.gauss(0, 1)),
        "floor": 0.1,
        "logs": [[s / 10, -s / 10, math.log(1 - s / 10 + 0.05), 0.1] for s in range(10)],
        "best": {"run": "linear x 1", "rows": [[s / 10, -s / 10, math.log(1 - s / 10)] for s in range(10)]},
        "states": [[path, s, -s, f, 0] for (path, s), f in ideal.items()],
        "halves": [[[path, s, f + rng.gauss(0, 0.1)] for (path, s), f in ideal.items()] for _ in range(2)],
        "forks": forks,
    }


def losses(names, worth: dict[str, float], rng: random.Random, seeds: int = 4) -> dict:
    """Final losses of arms that are worth so much on every task, on common seeds."""
    base = [math.exp(rng.gauss(0, 0.5)) for _ in range(seeds)]
    own = {name: [b * worth.get(name, 1.0) * math.exp(rng.gauss(0, 0.003)) for b in base] for name in names}
    return {"losses": own, "reached": {name: [30] * seeds for name in names}}


ALL_ARMS = [LINEAR, *(arm.name for arm in ARMS), *(at_peak(name, m) for m in HIGH for name in WRONG_PEAK)]
KNOWN_MEANS = {"learnt": {"trapezoid": "level 0"}, "missed": dict.fromkeys([arm.name for arm in ARMS], 0.5)}


def rows_of(setting: Setting, worth: dict[str, float]) -> list[dict]:
    rng, found = random.Random(0), []
    groups = {task.family.name: task.group for task in tasks_of(setting.effort)}
    for measurement in STUDY.plan(setting):
        key, group = measurement.key, groups[measurement.key["task"]]
        if key["what"] == "recorded":
            found.append(recorded(key, group, rng))
            continue
        named = {**key, "family": key["task"], "group": group}
        if key["what"] == "driven":
            found.append({**named, **losses(ALL_ARMS, worth, rng), **KNOWN_MEANS})
        else:
            own = {c.name: worth.get(c.arm, 1.0) for c in candidates(key["steps"])}
            found.append({**named, **losses(own, own, rng)})
    return found


AS_EXPECTED = {
    "trapezoid": 0.96,
    "trapezoid of loss": 0.96,
    "loss alone": 1.1,
    **dict.fromkeys(("logs, curve", "logs, symbolic", "logs, network", "forks, greedy"), 1.2),
    "own and others": 0.96,
    "others' peak": 1.2,
    "network x 2": 0.8,
    "Psi(i)": 1.0,
    "Psi(eps, i)": 0.9,
}
OTHERWISE = {
    "trapezoid": 1.04,
    "trapezoid of loss": 0.9,
    "loss alone": 0.9,
    **dict.fromkeys(("logs, curve", "logs, symbolic", "logs, network", "forks, greedy"), 0.9),
    "own and others": 0.9,
    "others' peak": 0.9,
    "network x 2": 1.1,
}


@pytest.mark.parametrize(("worth", "verdict"), [(AS_EXPECTED, "agrees"), (OTHERWISE, "differs")], ids=["agrees", "differs"])
def test_every_claim_is_told_from_rows_of_a_known_law(quick: Setting, worth: dict[str, float], verdict: str) -> None:
    found = STUDY.conclude(rows_of(quick, worth), quick)
    told = {c.claim.name: c.verdict.value for c in found.conclusions}
    if verdict == "differs":
        # Psi(eps, i) has Psi(i) among its candidates: it can be no worse, but by what other groups mislead
        assert told.pop("without a horizon the loss helps") != "agrees"
    assert set(told.values()) == {verdict}
    by_name = {c.claim.name: c.estimate.require() for c in found.conclusions}
    assert by_name["a universal closed form"] == pytest.approx(worth["trapezoid"], abs=0.003)
    assert by_name["logs alone mislead"] == pytest.approx(worth["logs, curve"], abs=0.003)
    assert set(found.charts) == {"ideal", "driven", "unknown"}


def test_without_rows_nothing_is_told(quick: Setting) -> None:
    found = STUDY.conclude([], quick)
    assert {c.verdict.value for c in found.conclusions} == {"cannot tell"}
    assert found.tables == () and found.charts == {}


def test_what_rates_vary_with_and_what_greed_wants_are_read_off_the_rows(quick: Setting) -> None:
    known = Experiments.of([row for row in rows_of(quick, {}) if row["what"] == "recorded"])
    table = halves_of(known, absolute=False)
    assert table.shape == (12, 5, 2, 2)
    expected = [math.log10(0.8 * (1 - s)) for s in (0.1, 0.25, 0.5, 0.75, 0.9)]
    assert table.mean((0, 2, 3)) == pytest.approx(expected, abs=0.02)
    assert {row[3] for row in greedy_table(known).rows} == {"2.0"}, "of the rates tried, 1 is nearest to .8 and 2 to 2"


def test_numbers_are_chosen_on_other_groups_under_the_same_optimizer() -> None:
    names = [c.name for c in candidates(100) if c.arm in (KNOWN, "constant", "Psi(i)")]
    best = {("a", "sgd"): names[2], ("b", "sgd"): names[3], ("a", "adam"): names[3], ("b", "adam"): names[2]}
    rows = [
        {
            "what": "unknown horizon", "task": group, "family": group, "group": group, "optimizer": optimizer, "steps": 100,
            "losses": {name: [0.5 if name == own else 1.0] for name in names}, "reached": {name: [None] for name in names},
        }
        for (group, optimizer), own in best.items()
    ]  # fmt: skip
    found = as_driven(rows)
    chosen = {(row["group"], row["optimizer"]): row["chosen"]["constant"] for row in found}
    other = {"a": "b", "b": "a"}
    assert chosen == {(g, o): best[other[g], o] for g, o in best}
    assert pooled(found, "constant", KNOWN).mean().require() == pytest.approx(1.0), "the other group's best is not its own"


def test_a_target_is_met_when_the_reference_meets_it_or_never() -> None:
    assert steps_to_target([{"steps": 10, "reached": {"a": [5, 7, None]}}], "a") == (0.7, pytest.approx(2 / 3))


def test_weights_are_evaluated_at_their_mean_and_trained_where_they_were() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    by_hand = torch.zeros(1, 3)
    plain = copy.deepcopy(model)
    averaged: Any = Averaged("momentum:lr=0.1")(model)
    base = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    for t in range(1, 13):
        x = torch.randn(8, 3)
        for net, optimizer in ((model, averaged), (plain, base)):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
        assert torch.equal(model.weight, plain.weight), "training is not changed"
        now = plain.weight.detach().clone()
        by_hand = by_hand + (WEIGHT + 1) / (WEIGHT + t) * (now - by_hand)
    averaged.eval()
    assert torch.allclose(model.weight, by_hand, rtol=1e-5)
    assert not torch.equal(model.weight, plain.weight)
    averaged.train()
    assert torch.equal(model.weight, plain.weight)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_lane_of_an_averaged_optimizer_trains_alike_and_is_scored_elsewhere(optimizer: str) -> None:

    own = Task(FAMILIES[0], optimizer, 12).problem(scored_on="test")
    lane = Lane(0.01, 0, 12, Criterion(), Until.END, Constant())
    plain, mean, free = (
        dict(LoopEngine().train(problem, [lane]))[0]
        for problem in (
            own,
            replace(own, optimizer=Averaged(OPTIMIZERS[optimizer])),
            replace(own, optimizer=ScheduleFree(optimizer)),
        )
    )
    assert [row.loss for row in mean.trace] == [row.loss for row in plain.trace]
    assert mean.valid_loss != plain.valid_loss
    assert free.scored_loss is not None and free.scored_loss < free.start_loss


def test_scores_of_lanes_are_losses_and_steps_to_the_reference_at_its_seventieth() -> None:
    problem = Task(FAMILIES[0], "sgd", 30).problem()
    lanes = [Lane(lr, 0, 30, Criterion(), Until.END, Schedule(decay=1.0).over(30)) for lr in (0.1, 1e-5)]
    good, slow = dict(LoopEngine().train(problem, lanes)).values()
    found = scored({"linear": [good], "slow": [slow]}, [good])  # type: ignore[arg-type, dict-item]
    assert found["losses"] == {"linear": [good.scored_loss], "slow": [slow.scored_loss]}
    assert found["reached"]["slow"] == [None]
    assert found["reached"]["linear"][0] <= 21


SMALL = Size(steps=20, seeds=2, fresh=1, open_seeds=1, horizons={20: 6, 40: 2})


@pytest.mark.slow
def test_a_tiny_study_goes_all_the_way_and_goes_on_where_it_was_cut(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(tasks.NAMES, "quick", ("digits-softmax", "cancer", "line"))
    monkeypatch.setitem(tasks.SIZES, "quick", SMALL)
    options = Options(store=tmp_path / "runs.db", workers=1)
    cut = run_study("psi", tmp_path / "o", effort="quick", options=Options(store=tmp_path / "runs.db", max_seconds=1.5))
    assert not cut.complete
    found = run_study("psi", tmp_path / "o", effort="quick", options=options)
    assert found.complete and found.planned == 6 + 6 + 8
    assert all(c.estimate.ok for c in found.conclusions)
    again = run_study("psi", tmp_path / "o", effort="quick", options=options)
    assert again.cost["measured_now"] == 0 and again.conclusions == found.conclusions
    assert "What was learnt" in (tmp_path / "o" / "README.md").read_text()
