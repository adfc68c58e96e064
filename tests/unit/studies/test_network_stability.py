"""The study of network stability: its steps against torch by hand, forks against straight runs, shares by brute force."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import stdtrit
from torch import nn

from etastar.core.estimate import Estimate, Status
from etastar.errors import ProblemError
from etastar.policies.compose import PerGroup, Then
from etastar.studies.network_stability.arms import ALL, CONST, GROUPS, HIGH, LOW, STILL, arms_of, link, shared_by
from etastar.studies.network_stability.claims import (
    ACTIVATIONS,
    CLAIMS,
    FULL_SIZE,
    PILOT,
    PRIMARY,
    SAME_NOISE,
    SHARES,
    SIGNALS,
)
from etastar.studies.network_stability.conclude import against_pilot, asked_of
from etastar.studies.network_stability.gains import Gains
from etastar.studies.network_stability.measure import ENDS, plan
from etastar.studies.network_stability.networks import PROBLEMS, Halves, _sgd, halves, load
from etastar.studies.network_stability.numbers import numbers_of
from etastar.studies.network_stability.reading import barrier, fixed_loss, lambda1
from etastar.studies.network_stability.shares import fieller, holm, judged
from etastar.studies.network_stability.sizes import Sizes
from etastar.studies.network_stability.states import Led, States
from etastar.studies.network_stability.study import STUDY
from etastar.studies.network_stability.walk import Walk, led, scores_of
from etastar.studies.study import Setting

SMALL = Sizes(burn=100, arm=40, window=20, seeds=2, products=6)


def net() -> nn.Module:
    """Two blocks with BatchNorm."""
    return nn.Sequential(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def small() -> Halves:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 6, generator=draw), torch.randint(0, 3, (40,), generator=draw)
    return Halves(net, {"early.0": ("0",), "late.1": ("1",)}, (x, y), (x, y), 3, 0.1, partial(_sgd, 0.1), batch=8)


def test_its_steps_are_those_of_torch_by_hand(small: Halves) -> None:
    walk, model = Walk(small, 5), net()
    model.load_state_dict(walk.net.state_dict())
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    said = []
    for step in range(12):
        walk.advance(0.1, 0.2, log=True)
        x, noisy, labels = small.batch_of(5, step, 0.2)
        scores = model(x)
        known = scores.detach()
        said.append(float(0.8 * F.cross_entropy(known, labels) - 0.2 * F.log_softmax(known, -1).mean()))
        sgd.zero_grad()
        F.cross_entropy(scores, noisy).backward()
        sgd.step()
    assert all(torch.equal(a, b) for a, b in zip(walk.net.parameters(), model.parameters(), strict=True))
    assert walk.objective == pytest.approx(said, rel=1e-6)


def test_a_fork_is_the_run_from_the_start_and_a_frozen_half_stands_still(small: Halves, tmp_path) -> None:
    frozen = Then(Then(HIGH, 20, PerGroup({"late": LOW})), 30, PerGroup({"late": STILL}))
    path = Led(frozen, 40, 20)
    straight = led(small, 1, path, States(None, ""), ())
    states, shared = States(tmp_path / "states", "x"), path.links[:-1]
    led(small, 1, Led(HIGH, 30, 20), states, shared, read=range(25, 30))
    led(small, 1, Led(Then(HIGH, 20, PerGroup({"late": LOW})), 40, 20), states, shared)
    forked = led(small, 1, path, States(tmp_path / "states", "x"), shared)
    assert (straight.begun, forked.begun) == (0, 30)
    assert all(torch.equal(straight.weights[name], forked.weights[name]) for name in straight.weights)
    assert straight.objective == forked.objective and len(straight.objective) == 20
    at_30 = led(small, 1, Led(frozen, 31, 20), States(None, ""), ())
    assert torch.equal(at_30.weights["1.weight"], straight.weights["1.weight"])  # momentum and weight decay included
    assert not torch.equal(at_30.weights["0.0.weight"], straight.weights["0.0.weight"])


def test_weights_at_which_a_half_is_held_cost_one_trunk(small: Halves, tmp_path, monkeypatch) -> None:
    steps, advance = [], Walk.advance
    monkeypatch.setattr(
        Walk, "advance", lambda self, *own, **more: (steps.append(self.step), advance(self, *own, **more))[1]
    )
    states, at = States(tmp_path, "x"), (20, 15, 10)
    path = Led(Then(HIGH, 20, PerGroup({"late": STILL})), 26, 20, dwell=2, held_at=at)
    walk = led(small, 1, path, states, [link(HIGH, step) for step in at])
    assert steps == [*range(20), *range(20, 26)]
    weights = led(small, 1, Led(HIGH, 10, 10), States(None, ""), ()).weights
    assert torch.equal(walk.weights["1.weight"], weights["1.weight"])  # the third turn is that of step 10
    assert not torch.equal(walk.weights["0.0.weight"], weights["0.0.weight"])


def test_an_optimizer_that_has_forgotten_takes_a_first_step_again(small: Halves, tmp_path) -> None:
    states, shared = States(tmp_path, "x"), [link(HIGH, 20)]
    at_20 = led(small, 1, Led(HIGH, 20, 20), states, shared)
    kept, forgotten = (led(small, 1, Led(HIGH, 21, 20, forgotten=own), states, shared) for own in (False, True))
    assert kept.begun == forgotten.begun == 0 or kept.begun == forgotten.begun == 20
    x, noisy, _ = small.batch_of(1, 20, 0.2)
    gradients = torch.autograd.grad(F.cross_entropy(at_20.net(x), noisy), list(at_20.net.parameters()))
    for (name, w), g in zip(at_20.weights.items(), gradients, strict=True):
        moved = 0.1 * (g + 5e-4 * w)  # no momentum
        assert torch.allclose(forgotten.weights[name], w - moved, atol=1e-7), name
        assert not torch.allclose(kept.weights[name], w - moved, atol=1e-4), name


def test_the_average_is_that_of_a_plain_loop_and_is_read_on_the_same_batch(small: Halves) -> None:
    walk = led(small, 3, Led(HIGH, 24, 10), States(None, ""), (), read=range(23, 24))
    again, mean = Walk(small, 3), {}
    for step in range(24):
        if step == 10:
            mean = {name: p.clone() for name, p in again.weights.items()}
        if step == 23:
            x, _, labels = small.batch_of(3, step, 0.2)
            said = float(F.cross_entropy(scores_of(again.net, mean, x), labels, label_smoothing=0.2).detach())
        again.advance(0.1, 0.2)
        mean = {name: 0.99 * m + 0.01 * again.weights[name] for name, m in mean.items()}
    assert walk.averaged[0.99] == [pytest.approx(said, rel=1e-5)]
    assert all(torch.allclose(walk.averages[0.99][name], m, atol=1e-6) for name, m in mean.items())


def test_reading_leaves_the_network_as_it_was_and_knows_a_quadratic(small: Halves) -> None:
    walk = Walk(small, 0)
    before = {name: t.clone() for name, t in walk.net.state_dict().items()}
    fixed_loss(small, 0, walk.net, walk.weights)
    lambda1(small, 0, walk.net, walk.weights, 6)
    assert all(torch.equal(before[name], t) for name, t in walk.net.state_dict().items())
    assert barrier([0.0, 5.0, 2.0, 4.0]) == pytest.approx(5.0 - 4.0 / 3)


def test_lambda1_is_the_top_of_the_whole_hessian() -> None:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(30, 4, generator=draw), torch.randint(0, 3, (30,), generator=draw)
    plain = Halves(
        partial(nn.Linear, 4, 3), {"early.w": ("weight",), "late.b": ("bias",)}, (x, y), (x, y), 3, 0.1, partial(_sgd, 0.1)
    )
    walk = Walk(plain, 0)
    w, b = (p.detach() for p in walk.net.parameters())
    loss = lambda flat: F.cross_entropy(x @ flat[:12].reshape(3, 4).T + flat[12:], y, label_smoothing=0.2)
    whole = torch.autograd.functional.hessian(loss, torch.cat([w.flatten(), b]))
    assert lambda1(plain, 0, walk.net, walk.weights, 15) == pytest.approx(float(torch.linalg.eigvalsh(whole)[-1]), rel=0.05)


def test_fieller_is_all_ratios_that_a_t_test_does_not_refuse() -> None:
    rng = np.random.default_rng(0)
    whole = 1 + 0.2 * rng.normal(size=6)
    part = 0.3 * whole + 0.1 * rng.normal(size=6)
    e, t = fieller(part, whole), float(stdtrit(5, 0.95))
    ratios = np.linspace(-1, 2, 30_001)
    off = part[None] - ratios[:, None] * whole[None]
    kept = ratios[np.abs(off.mean(1)) <= t * off.std(1, ddof=1) / 6**0.5]
    assert (e.low, e.high) == pytest.approx((kept[0], kept[-1]), abs=2e-4)
    assert fieller([1.0, 2.0], [1.0, -1.2]).status is Status.FLAT


def test_holm_keeps_what_is_known_by_hand() -> None:
    p = [0.001, 0.02, 0.03, 0.04, 0.2]  # .001 <= .02, .02 <= .025, .03 <= .0333, .04 <= .05, .2 > .1
    assert holm(p, 0.1) == pytest.approx([0.98, 0.975, 1 - 0.1 / 3, 0.95, 0.9])


def rows_of_a_known_law() -> list[dict]:
    """Decay gains .1, the average all of it, freezing a third; A goes with the rate, B with its root."""
    rng, rows = np.random.default_rng(1), []
    gains = {CONST: 0.0, ALL: 0.1, "early frozen noisy": 0.033, "late frozen noisy": 0.033}
    gains |= {"stem decayed": 0.02, "fc decayed": 0.07}
    for seed in range(4):
        drift = 2 - 0.01 * np.arange(4)
        for arm, gain in gains.items():
            noise = 0.001 * rng.normal()
            row = {"seed": seed, "arm": arm, "objective": list(drift - gain + noise), "looks": [], "angle": 1.0}
            row |= {"steps": 140, "steps_spent": 40}
            if arm == CONST:
                row["averaged"] = {str(d): float(np.mean(drift[-2:])) - 0.1 + noise for d in (0.98, 0.99, 0.995)}
            rows.append(row)
        for factor in (1.0, 0.3, 0.1, 0.03):
            look = {"k": 1, "A": {"x": 0.01 * factor, "y": 0.02 * factor}, "B": {"x": 0.1 * factor**0.5, "y": None}}
            rows.append({"seed": seed, "arm": f"rate x{factor:g}", "looks": [look]})
    return rows


def test_the_verdicts_of_a_known_law() -> None:
    asked = {one.claim.name: one for one in asked_of(Gains(rows_of_a_known_law(), replace(SMALL, seeds=4)))}
    value = lambda name: asked[name].quantity(0.9).value
    assert value("an effect besides averaging") == pytest.approx(0, abs=0.05)
    assert value("stability helps the late half") == pytest.approx(0.33, abs=0.03)
    assert value("activations get more stable") == pytest.approx(1.0)
    assert value("loss signals get more stable") == pytest.approx(0.5)
    verdicts = {c.claim.name: c.verdict.value for c in judged(list(asked.values()))}
    assert verdicts["an effect besides averaging"] == "differs"
    assert verdicts["stability helps the late half"] == verdicts["decay lowers the objective"] == "agrees"
    assert verdicts["same noise, less change helps"] == "cannot tell"  # not measured


def test_blocks_alone_are_added_up() -> None:
    sizes = replace(SMALL, seeds=4, blocks=("early.stem", "late.fc"))
    found = {name: e.value for name, e, _ in numbers_of(Gains(rows_of_a_known_law(), sizes))}
    shares = [found[f"share, {name}"] for name in ("stem decayed", "fc decayed", "blocks added up")]
    assert shares == pytest.approx([0.2, 0.7, 0.9], abs=0.04)
    alone = arms_of(sizes, "blocks")
    assert [arm.name for arm in alone] == ["stem decayed", "fc decayed"]
    assert alone[1].path.policy == Then(HIGH, 100, PerGroup({"late.fc": LOW}))


def test_a_number_is_held_against_the_pilots_interval(digits: Setting) -> None:
    t3 = float(stdtrit(3, 0.95))  # four seeds, standard error 0.01 each
    known = {name: Estimate(v, v, v, n=4) for name, (v, _, _) in PILOT.items()}
    known["gain of all"] = Estimate(0.11, 0.11 - 0.01 * t3, 0.11 + 0.01 * t3, n=4)
    known[next(reversed(PILOT))] = Estimate(0.7, 0.69, 0.71, n=4)
    setting = Setting(digits.data, "full", 0, "resnet18")
    rows = {row[0]: row for row in against_pilot(known, setting)[0].rows}
    half = float(stdtrit(3, 0.975)) * math.hypot(0.01, 0.0018)
    assert rows["gain of all"][3] == f"0.0095 ({0.0095 - half:.3g} to {0.0095 + half:.3g})"
    assert [rows[name][4] for name in ("gain of all", next(reversed(PILOT)))] == ["yes", "NO"]
    own, reduced = against_pilot(known, replace(setting, effort="faithful"))
    assert [row[0] for row in own.rows] == list(FULL_SIZE) and [row[0] for row in reduced.rows] == list(SHARES)
    assert (
        set(SHARES) == set(FULL_SIZE) == set(PILOT) - {"gain of all", *(c.name for c in (SAME_NOISE, ACTIVATIONS, SIGNALS))}
    )
    assert against_pilot(known, digits) == []


@pytest.fixture
def digits() -> Setting:
    return Setting(load(None, "digits-mlp"), "quick", 0, "digits-mlp")


def test_a_plan_has_a_row_a_seed_and_arm_and_shares_most_steps(digits: Setting) -> None:
    keys = [json.dumps(m.key, sort_keys=True) for m in plan(digits)]
    assert len(keys) == len(set(keys))
    full = Sizes(1000, 320, 120, 4)
    arms = [arm for group in GROUPS for arm in arms_of(full, group)]
    assert len({arm.name for arm in arms}) == len(arms)
    shared, spent, at = shared_by(full), 0, set()
    for arm in arms:  # what `led` trains: from the last shared state that an arm before it has passed
        links, first, passed = arm.path.links, 0, []
        for name, end in links:
            passed += [own for own in shared if own[0] == name and first < own[1] <= end]
            first = end
        begun = max((step for name, step in passed if (name, step) in at and step < arm.path.steps), default=0)
        spent += arm.path.steps - begun
        at |= set(passed)
    assert spent <= 0.5 * sum(arm.path.steps for arm in arms)


@pytest.mark.parametrize("problem", PROBLEMS[1:])
def test_every_problem_has_two_halves_that_train(problem: str) -> None:
    own = halves(problem, load(None, problem), width=4, side=8)
    walk = Walk(own, 0)
    grouped = [id(p) for group in walk.optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, walk.net.parameters())) and all(
        g["params"] for g in walk.optimizer.param_groups
    )
    for frozen in ("late", next(iter(own.blocks))):
        walk, fresh = Walk(own, 0), Walk(own, 0)
        for _ in range(3):
            walk.advance({frozen: 0.0, "*": own.rate}, own.noise, log=True)
        for name, w in walk.weights.items():
            assert torch.equal(w, fresh.weights[name]) is own.block_of(name).startswith(frozen), name
    assert all(math.isfinite(v) for v in walk.objective)


def test_letters_are_told_apart_and_a_place_sees_none_that_come_later(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("The quick brown fox jumps over the lazy dog. " * 20)
    data = load(tmp_path, "letters")
    assert len(data.train[0].unique()) == 28  # 26 letters, a full stop, a blank
    assert torch.equal(data.train[0][:, 1:], data.train[1][:, :-1])
    model = Walk(halves("letters", data, width=4, side=8), 0).net.eval()
    x = data.train[0][:2].clone()
    before = model(x)
    x[:, 9:] = 5
    assert torch.allclose(before[:, :9], model(x)[:, :9], atol=1e-6) and not torch.allclose(before, model(x))


def test_what_a_folder_should_hold_is_said(tmp_path) -> None:
    with pytest.raises(ProblemError, match="trains on CIFAR-10's pictures; pass --data FOLDER with data_batch_1"):
        load(None, "resnet18")
    with pytest.raises(ProblemError, match=r"holds no text; expected a folder with a \.txt file"):
        load(tmp_path, "letters")
    (tmp_path / "short.txt").write_text("to be")
    with pytest.raises(ProblemError, match=r"short\.txt has 5 letters; expected at least 176"):
        load(tmp_path, "letters")
    with pytest.raises(ProblemError, match="trains on scikit-learn's digits; drop --data"):
        load(tmp_path, "digits-mlp")


def test_what_decides_is_declared() -> None:
    assert set(PRIMARY) < set(CLAIMS) == set(STUDY.claims)
    assert ENDS not in {arm.name for group in GROUPS for arm in arms_of(SMALL, group)}
