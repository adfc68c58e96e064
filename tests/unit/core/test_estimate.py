"""`Estimate`: a value with an interval, or a status with a reason; nothing between."""

from __future__ import annotations

import json
import math

import pytest

from etastar import FLAGS, Estimate, NoAnswer, Status


def test_an_estimate_without_a_value_raises_and_carries_itself():
    e = Estimate.none(Status.FLAT, "nothing depends on the rate", n=7)
    with pytest.raises(NoAnswer, match=r"no answer \(flat\): nothing depends on the rate") as caught:
        e.require()
    assert caught.value.estimate is e and not e.ok


@pytest.mark.parametrize("numbers", [(1.0, 2.0, 3.0), (None, 0.0, 1.0), (math.nan, 0.0, 1.0), (0.5, 0.0, math.inf)])
def test_an_ok_estimate_lies_inside_a_finite_interval(numbers):
    value, low, high = numbers
    with pytest.raises(ValueError, match="an ok estimate needs"):
        Estimate(value, low, high)


def test_a_status_needs_a_reason_and_no_value():
    with pytest.raises(ValueError, match="carries a reason and no value"):
        Estimate(status=Status.FLAT)
    with pytest.raises(ValueError, match="carries a reason and no value"):
        Estimate(1.0, 0.5, 2.0, status=Status.FLAT, reason="why")


def test_flags_are_known_and_are_sentences():
    with pytest.raises(ValueError, match="unknown flags"):
        Estimate(1.0, 0.5, 2.0, flags=("nonsense",))
    assert all(sentence.endswith(".") and len(sentence) > 40 for sentence in FLAGS.values())


def test_json_is_json():
    e = Estimate(1.0, 0.5, 2.0, flags=("islands",), n=3, method="counting")
    assert json.loads(json.dumps(e.to_json(), allow_nan=False))["status"] == "ok"
