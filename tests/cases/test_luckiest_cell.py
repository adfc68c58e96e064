"""`sensitivity`, `momentum` and `surface` say how many seeds a loss rests on and among how many it was chosen."""

from __future__ import annotations

import statistics

import pytest
import torch

import etastar

MEMORY = etastar.Options(store=":memory:", workers=1)


def adam(small: etastar.Problem, data) -> etastar.Problem:
    """Its best rate lies inside the classic grid."""
    return small.but(valid=data, steps=20, optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=0.03))


def sensitivity(small: etastar.Problem, seeds: int) -> etastar.verbs.SensitivityAnswer:
    return etastar.sensitivity(small, seeds=seeds, options=MEMORY)


def momentum(small: etastar.Problem, seeds: int) -> etastar.verbs.MomentumAnswer:
    return etastar.momentum(small, values=[0.0, 0.5], seeds=seeds, options=MEMORY)


def surface(small: etastar.Problem, seeds: int) -> etastar.verbs.SurfaceAnswer:
    return etastar.surface(small, schedules=["constant"], horizons=[20], seeds=seeds, options=MEMORY)


@pytest.mark.parametrize("verb", [sensitivity, momentum, surface])
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_seed_a_cell_is_flagged_and_the_sentence_says_what_a_loss_rests_on(small, data, verb, seeds):
    answer = verb(adam(small, data), seeds)
    said = answer.choice if isinstance(answer, etastar.verbs.SurfaceAnswer) else answer.summary
    assert ("luckiest-cell" in answer.flags) is (seeds == 1)
    assert ("median of 3 seeds, the lowest of" if seeds == 3 else "one seed, the luckiest of") in said


def test_the_loss_quoted_is_the_lowest_median_of_that_many_rates(small, data):
    answer = sensitivity(adam(small, data), 3)
    by_rate: dict[float, list[float]] = {}
    for o in answer.runs:
        by_rate.setdefault(o.lane.lr, []).append(float("inf") if o.valid_loss is None else o.valid_loss)
    medians = [m for m in map(statistics.median, by_rate.values()) if m < float("inf")]
    assert answer.best.loss == min(medians)
    assert f"the lowest of {len(medians)})" in answer.summary
