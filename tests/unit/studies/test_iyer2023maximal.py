"""The conclusions of `iyer2023maximal` from rows that follow known laws: where the claims hold, and where they do not."""

from __future__ import annotations

import math
import random

import pytest

from etastar.studies.data import FASHION_MNIST, StudyData, load_data
from etastar.studies.iyer2023maximal import ARMS, CLAIMS, DEPTHS, STUDY, WIDTHS, plan
from etastar.studies.iyer2023maximal_findings import in_region
from etastar.studies.study import Setting


@pytest.fixture(scope="module")
def setting():
    digits = load_data(None)
    return Setting(StudyData("Fashion-MNIST", digits.train, digits.valid, FASHION_MNIST))


def rows_of(law, sharpness, *, noise=0.02, seed=0):
    """One row a member and arm; `law(depth, width, input, threshold)` is eta*, or None for no answer."""
    rng = random.Random(seed)
    rows = []
    for multiplier, threshold in ARMS:
        for depth in DEPTHS["full"]:
            for width in WIDTHS["full"]:
                key = {"what": "eta*", "input": multiplier, "threshold": threshold, "depth": depth, "width": width}
                value = law(depth, width, multiplier, threshold)
                if value is None:
                    answer = {"eta_star": None, "low": None, "high": None, "status": "never-succeeds"}
                    rows.append({**key, **answer, "estimates": [{"value": None}] * 3})
                    continue
                seeds = [value * 10 ** rng.gauss(0, noise) for _ in range(3)]
                middle = math.prod(seeds) ** (1 / 3)
                half = 10 ** (1.645 * noise / 3**0.5)
                answer = {"eta_star": middle, "low": middle / half, "high": middle * half, "status": "ok"}
                rows.append({**key, **answer, "estimates": [{"value": s} for s in seeds]})
    for depth in DEPTHS["full"]:
        for width in WIDTHS["full"]:
            size = {"what": "lambda1", "depth": depth, "width": width}
            rows.append({**size, "preconditioned": sharpness(depth, width)})
    return rows


def as_claimed(depth, width, multiplier, threshold):
    """The law inside the region; narrow networks fall short of it, a full input rate knows nothing of the width."""
    if multiplier == 1:
        return 2 / depth**0.8
    narrow = min(width / (16 * depth), 1.0) ** 0.7
    return (300 if threshold == 0.5 else 400) * (depth * width) ** -0.87 * narrow


def verdicts(rows, setting):
    return {c.claim.name: c.verdict.value for c in STUDY.conclude(rows, setting).conclusions}


def test_rows_that_follow_the_claims_agree_with_all_of_them(setting):
    rows = rows_of(as_claimed, lambda d, w: 0.2 * d * w)
    found = STUDY.conclude(rows, setting)
    assert {c.claim.name: c.verdict.value for c in found.conclusions} == {claim.name: "agrees" for claim in CLAIMS}
    p = next(c.estimate for c in found.conclusions if c.claim.name == "falls with size")
    assert p.low < 0.87 < p.high and p.high - p.low < 0.05
    assert set(found.charts) == {"law", "sharpness"} and len(found.tables) == 2


def test_rows_that_break_the_claims_differ(setting):
    """Grows with size, unaffected by the input rate, exactly inverse to a sharpness that is not linear in the size."""
    rows = rows_of(lambda d, w, m, t: 0.01 * (d * w) ** (0.5 if t == 0.5 else 1.2), lambda d, w: (d * w) ** -0.5, noise=0.01)
    found = verdicts(rows, setting)
    assert found["falls with size"] == "differs"
    assert found["condition (i): width"] == "differs"
    assert found["condition (ii): input rate"] == "cannot tell", "no difference is no proof of none"
    assert found["not inverse to sharpness"] == "differs"
    assert found["sharpness is linear"] == "differs"
    assert found["threshold moves C, not p"] == "differs"
    assert found["as measured before"] == "differs"


def test_no_power_is_told_from_a_power(setting):
    scattered = random.Random(1)
    rows = rows_of(lambda *_: 10 ** scattered.uniform(-1, 1), lambda d, w: d * w)
    found = verdicts(rows, setting)
    assert found["power of depth x width"] == "differs"
    assert found["close to sharpness"] == "differs"


def test_without_rows_nothing_is_concluded(setting):
    assert set(verdicts([], setting).values()) == {"cannot tell"}
    never = rows_of(lambda *_: None, lambda d, w: None)
    assert set(verdicts(never, setting).values()) == {"cannot tell"}


def test_other_data_is_not_compared_with_fashion_mnist():
    rows = rows_of(as_claimed, lambda d, w: 0.2 * d * w)
    found = {c.claim.name: c for c in STUDY.conclude(rows, Setting(load_data(None))).conclusions}
    assert found["as measured before"].verdict.value == "cannot tell"
    assert "Fashion-MNIST" in found["as measured before"].estimate.reason


def test_the_plan_holds_every_member_once_and_fresh_seeds(setting):
    keys = [tuple(m.key.values()) for m in plan(setting)]
    assert len(keys) == len(set(keys)) == 2 * 35 + 2 * 20
    assert sum(in_region({"depth": d, "width": w}) for d in DEPTHS["full"] for w in WIDTHS["full"]) == 14
