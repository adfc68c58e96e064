"""The other studies' conclusions from rows that follow known laws, and tiny real measurements of each."""

from __future__ import annotations

import math
import random

import pytest
import torch

from etastar.problems.branched import BranchedNetwork
from etastar.problems.residual import DeepNetwork
from etastar.studies import chen2024architecture as chen
from etastar.studies import deeper_prefers_lower as deeper
from etastar.studies import haas2025width as haas
from etastar.studies.bench import Bench
from etastar.studies.data import load_data
from etastar.studies.study import Setting
from etastar.verbs.options import Options
from etastar.verbs.workplace import Workplace

NOISE = 0.01


@pytest.fixture(scope="module")
def setting():
    return Setting(load_data(None), "quick")


@pytest.fixture(scope="module")
def full():
    return Setting(load_data(None), "full")


def around(value: float, rng: random.Random) -> dict:
    value *= 10 ** rng.gauss(0, NOISE)
    half = 10 ** (1.645 * NOISE)
    return {"eta_star": value, "low": value / half, "high": value * half, "status": "ok", "estimates": [{"value": value}]}


def verdicts(study, rows, setting) -> dict[str, str]:
    return {c.claim.name: c.verdict.value for c in study.STUDY.conclude(rows, setting).conclusions}


@pytest.mark.parametrize(("ce", "mse", "expected"), [
    (0.5, 1.0, ("agrees", "agrees", "agrees")),
    (0.2, 0.6, ("differs", "differs", "agrees")),
    (1.0, 0.5, ("differs", "differs", "differs")),
])  # fmt: skip
def test_haas_tells_exponents_of_width(full, ce, mse, expected):
    rng = random.Random(0)
    power = {"cross-entropy": ce, "squared error": mse}
    rows = [{**m.key, **around(m.key["width"] ** -power[m.key["loss"]], rng)} for m in haas.plan(full)]
    assert tuple(verdicts(haas, rows, full).values()) == expected


@pytest.mark.parametrize(("power", "expected"), [(1.0, "agrees"), (0.2, "differs")])
def test_chen_tells_proportion_from_a_weaker_power(full, power, expected):
    rng = random.Random(0)
    rows = []
    for m in chen.plan(full):
        rule = chen.rule(m.key["graph"])
        best = {"value": 0.3 * rule**power * 10 ** rng.gauss(0, NOISE), "low": None, "high": None, "flags": []}
        facts = {"rule": rule, "variance_kept": 1 + rng.gauss(0, 0.02), "best_rate": best}
        rows.append({**m.key, **around(rule**power, rng), **facts})
    found = verdicts(chen, rows, full)
    for loss, what, _ in chen.QUANTITIES:
        assert found[f"{loss}, {what}: ranked"] == "agrees" and found[f"{loss}, {what}: in proportion"] == expected
    assert found["variance is kept"] == "agrees"
    turned = [{**row, "rule": 1 / row["rule"], "variance_kept": 3 + row["variance_kept"]} for row in rows]
    found = verdicts(chen, turned, full)
    assert found["cross-entropy, eta*: ranked"] == "differs" and found["variance is kept"] == "differs"


def test_rules_of_chains_and_branches():
    assert chen.rule("chain of 4") == pytest.approx(4**-1.5)
    assert chen.rule("four branches") == pytest.approx((4 * 3**3) ** -0.5)


@pytest.mark.parametrize(("power", "once", "cubed"), [(1.0, "agrees", "differs"), (1.5, "differs", "agrees")])
def test_deeper_tells_once_per_layer_from_three_halves(full, power, once, cubed):
    rng = random.Random(0)
    rows = []
    for m in deeper.plan(full):
        weaker = {"plain": 1.0, "residual": 0.5, "normalised": 1.0, "both": 0.2}[m.key["kind"]]
        value = m.key["depth"] ** -(power * weaker)
        best = 0.3 * value * 10 ** rng.gauss(0, NOISE)
        rows.append({**m.key, **around(value, rng), "best": {"value": best, "low": best / 2, "high": best * 2, "flags": []}})
    found = verdicts(deeper, rows, full)
    assert found["SGD: the best rate falls"] == found["Adam: the best rate falls"] == "agrees"
    assert found["SGD: best ~ 1/depth"] == found["SGD: eta* ~ 1/depth"] == once
    assert found["SGD: best ~ depth^-3/2"] == found["SGD: eta* ~ depth^-3/2"] == cubed
    assert found["residual connections help"] == found["both help"] == "agrees"
    assert found["normalisation helps"] == "cannot tell"


def test_a_best_rate_at_the_end_of_its_range_is_not_fitted(full):
    best = {"value": 1.0, "low": 0.5, "high": 2.0, "flags": ["not-bracketed"]}
    rows = [{**m.key, **around(1 / m.key["depth"], random.Random(0)), "best": best} for m in deeper.plan(full)]
    assert verdicts(deeper, rows, full)["SGD: the best rate falls"] == "cannot tell"


@pytest.mark.parametrize("study", [haas, chen, deeper])
def test_without_rows_nothing_is_concluded(setting, study):
    assert set(verdicts(study, [], setting).values()) == {"cannot tell"}


@pytest.mark.slow
@pytest.mark.parametrize(("study", "wanted"), [
    (haas, {"loss": "squared error", "width": 64}),
    (chen, {"loss": "cross-entropy", "graph": "diamond"}),
    (deeper, {"kind": "both", "optimizer": "SGD", "depth": 2}),
])  # fmt: skip
def test_one_real_member_of_each(setting, study, wanted):
    (member,) = [m for m in study.plan(setting) if wanted.items() <= m.key.items()]
    with Workplace(Options(store=":memory:", workers=1, device="cpu")) as place:
        bench = Bench(place)
        row = member.run(bench)
    assert row["status"] == "ok" and row["low"] < row["eta_star"] < row["high"]
    assert row["lanes"] > 10 and bench.new_gradient_steps == row["gradient_steps"]
    assert row["said"]
    if "best" in row:
        assert row["best"]["value"] < row["eta_star"]
    if "variance_kept" in row:
        assert row["variance_kept"] == pytest.approx(1.0, abs=0.35)


@torch.no_grad()
def test_networks_are_what_their_names_say():
    torch.manual_seed(0)
    x = torch.randn(512, 32)
    z = BranchedNetwork(32, chen.GRAPHS["ladder"], 256)().vertices(x)
    assert len(z) == 6 and all(float((v**2).mean()) == pytest.approx(1.0, rel=0.35) for v in z)
    plain, residual = (DeepNetwork(32, 6, 256, residual=r)() for r in (False, True))
    assert sum(p.numel() for p in plain.parameters()) == 32 * 256 + 5 * 256**2 + 10 * 256
    growth = [float((m[:-2](x) ** 2).mean()) for m in (plain, residual)]
    assert growth[0] == pytest.approx(1.0, rel=0.5) and math.log2(growth[1]) == pytest.approx(5, abs=1), "branches add up"
