"""Rules decide by intervals: a table of every case, and estimates that may decide nothing."""

from __future__ import annotations

import math

import pytest

from etastar.core.estimate import Estimate, Status
from etastar.core.told import told
from etastar.studies.claim import Apart, Claim, Inside, Near

AGREES, DIFFERS, CANNOT = "agrees", "differs", "cannot tell"


def between(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        (Inside(0, 1), 0.2, 0.8, AGREES),
        (Inside(0, 1), 0.0, 1.0, AGREES),
        (Inside(0, 1), -0.1, 0.8, CANNOT),
        (Inside(0, 1), -0.1, 1.1, CANNOT),
        (Inside(0, 1), 1.1, 1.2, DIFFERS),
        (Inside(0, 1), -2.0, -1.0, DIFFERS),
        (Inside(low=0.9), 0.91, 0.99, AGREES),
        (Inside(low=0.9), 0.85, 0.99, CANNOT),
        (Inside(low=0.9), 0.5, 0.89, DIFFERS),
        (Inside(high=-0.1), -0.5, -0.2, AGREES),
        (Inside(high=-0.1), -0.05, 0.2, DIFFERS),
        (Near(-1, -1, widest=0.5), -1.2, -0.8, AGREES),
        (Near(-1, -1, widest=0.5), -1.9, -0.1, CANNOT),
        (Near(-1, -1, widest=0.5), -0.9, 3.0, DIFFERS),
        (Near(-1, -1, widest=0.5), -0.9, -0.8, DIFFERS),
        (Near(0.8, 0.9, widest=0.3), 0.88, 1.1, AGREES),
        (Near(0.8, 0.9, widest=0.3), 0.91, 1.1, DIFFERS),
        (Apart(1, margin=0.1), 0.5, 0.9, AGREES),
        (Apart(1, margin=0.1), 1.01, 1.02, AGREES),
        (Apart(1, margin=0.1), 0.95, 1.05, DIFFERS),
        (Apart(1, margin=0.1), 0.8, 1.05, CANNOT),
    ],
)
def test_rules_decide_by_the_interval(rule, low, high, verdict):
    assert rule(between(low, high)).value == verdict
    turned = {Inside: lambda r: Inside(-r.high, -r.low), Near: lambda r: Near(-r.high, -r.low, r.widest),
              Apart: lambda r: Apart(-r.value, r.margin)}[type(rule)](rule)  # fmt: skip
    assert turned(between(-high, -low)).value == verdict, "the mirrored rule decides the mirrored interval alike"


@pytest.mark.parametrize("rule", [Inside(0, 1), Near(0, 1, widest=9), Apart(1, margin=0.1)])
def test_without_a_value_nothing_is_decided(rule):
    none = Estimate.none(Status.TOO_FEW_POINTS, "two members", low=0.2, high=0.3)
    assert rule(none).value == CANNOT
    claim = Claim("c", "It holds.", "the paper", "everywhere", "x", rule)
    assert claim.judge(none).measured == "no value: two members"


def test_a_conclusion_says_all_of_it():
    claim = Claim("c", "It holds.", "the paper", "everywhere", "x", Inside(low=0.5))
    found = claim.judge(Estimate(0.7, 0.6, 0.8))
    assert found.measured == "0.7 (90 %: 0.6 to 0.8)"
    said = told(found)
    assert (said["name"], said["source"], said["verdict"]) == ("c", "the paper", AGREES)
    assert said["decided_by"] == "agrees if the whole interval lies above 0.5, differs if all of it lies below it"
    assert math.isclose(said["estimate"]["value"], 0.7)
