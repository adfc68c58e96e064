"""`find` with monitors: one more lane, at the recommended rate, and nothing else is other than without."""

from __future__ import annotations

import pytest

from etastar import Options, Problem, ProblemError, find
from etastar.problems import builder


def test_a_lane_at_the_recommended_rate_is_read_and_the_answer_is_the_same():
    options = Options(store=":memory:", engine="mlp", workers=1)
    plain = find(builder("digits-mlp")(steps=60), effort="glance", options=options)
    watched = find(builder("digits-mlp")(steps=60), effort="glance", monitors="sharpness,move", options=options)
    assert watched.lr == plain.lr and plain.watched is None and plain.readings == ()
    assert watched.watched.lane.lr == pytest.approx(watched.lr.require(), rel=2e-3)
    assert {r.name for r in watched.readings} >= {"lambda1", "edge_ratio", "moved"} and watched.watched.lane.steps == 60


def test_a_loop_of_ones_own_cannot_be_looked_into():
    with pytest.raises(ProblemError, match="monitors cannot look into a training loop of your own"):
        find(Problem.from_loop(lambda lr, seed, report: None, steps=5, lr=0.1), monitors=["move"])
