"""The verdict on the rate in use: near in nats is not near where losses are small."""

from __future__ import annotations

import pytest

from etastar.core.estimate import Estimate
from etastar.designs.best_rate.best_rate import BestRate, RungPoint, RungResult, Share
from etastar.verbs.find.judge import judge


def found(loss_at_half: float) -> BestRate:
    """Best at 0.1, [0.05, 0.2]; the plateau, 0.05 nats high, reaches from 0.01 to 1."""
    points = tuple(
        RungPoint(lr, 0.0, loss) for lr, loss in ((0.01, 2 * loss_at_half), (0.05, loss_at_half), (0.1, 0.04), (0.2, 0.041))
    )
    lr = Estimate(0.1, 0.05, 0.2, unit="learning rate", n=4)
    return BestRate(lr, (0.01, 1.0), Share(4, 4), (RungResult(100, points, 0.1, True),), "validation loss", 1.0)


@pytest.mark.parametrize(
    ("lr", "loss_at_half", "verdict"),
    [
        (0.05, 0.0439, "good"),
        (0.05, 0.0441, "plausible"),  # 1.1 times the best, 0.004 nats
        (0.01, 0.0441, "low"),
        (0.2, 0.0441, "good"),
        (0.9, 0.0441, "good"),  # no lane was near: the plateau alone says it
    ],
)
def test_a_rate_on_the_plateau_is_good_where_its_loss_is_less_than_a_tenth_above_the_best(lr, loss_at_half, verdict) -> None:
    assert judge(lr, found(loss_at_half), None, None).verdict == verdict


def test_the_sentence_says_what_it_costs() -> None:
    said = judge(0.01, found(0.06), None, None).sentence
    assert said == "your 0.01 is low: 0.1 x the recommended rate; expect a loss about 3 x the best"
