"""What a loss counts as: against the same loss before training, on one scale for all lanes that are compared."""

from __future__ import annotations

import math

import pytest

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Lane, LaneStatus, Outcome
from etastar.designs.best_rate.best_rate import BestRate, RungResult, Scale, no_progress
from etastar.designs.best_rate.climb import FAILED


def ended(loss, first=2.0, status=LaneStatus.TRAINED, lr=0.1, **fields):
    return Outcome(Lane(lr, 0, 10), status, 5, 10, 9.9, 1.0, valid_loss=loss, first_valid_loss=first, **fields)


def test_the_start_is_measured_as_the_end_is():
    held_out = ended(1.0, first=3.0, first_train_loss=5.0)
    assert held_out.start_loss == 3.0
    assert Scale().score(held_out) == pytest.approx(math.log(1 / 3))
    training = Outcome(Lane(0.1, 0, 10), LaneStatus.TRAINED, 5, 10, first_loss=9.9, end_loss=1.0, first_train_loss=5.0)
    assert training.start_loss == 5.0 and Scale().score(training) == pytest.approx(math.log(1 / 5))
    of_a_loop = Outcome(Lane(0.1, 0, 10), LaneStatus.TRAINED, 5, 10, first_loss=4.0, end_loss=1.0)
    assert of_a_loop.start_loss == 4.0


def test_one_unlucky_first_batch_does_not_decide():
    """Heavy tails: the first batch may have a tenth of the loss the whole data have."""
    outcome = Outcome(Lane(0.1, 0, 10), LaneStatus.SLOW, None, 10, 0.3, 0.4, valid_loss=1.5, first_valid_loss=3.0)
    assert Scale.of([outcome]).score(outcome) == pytest.approx(math.log(0.5)), "not log(1.5 / 0.3), a loss that rose"


@pytest.mark.parametrize("status", [LaneStatus.DIVERGED, LaneStatus.RAISED])
def test_a_lane_that_failed_has_the_worst_score(status):
    assert Scale().score(ended(0.1, status=status)) == FAILED == Scale().score(ended(math.inf))


@pytest.mark.parametrize("first", [1.4, 0.02, -0.3])
def test_losses_that_cross_zero_keep_their_order(first):
    losses = [1.2, 0.3, 0.01, 0.0, -0.01, -0.4, -1.1]
    lanes = [ended(loss, first) for loss in losses]
    scale = Scale.of(lanes)
    scores = [scale.score(lane) for lane in lanes]
    assert scores == sorted(scores, reverse=True) and len(set(scores[2:])) == 5
    assert all((score < 0) == (loss < first) for score, loss in zip(scores, losses, strict=True))
    assert min(scores) >= -1 or first == -0.3
    more = Scale.of([ended(10 * loss, 10 * first) for loss in losses])
    assert [more.score(ended(10 * loss, 10 * first)) for loss in losses] == pytest.approx(scores), "no unit of the loss"


def test_a_loss_of_zero_is_the_best_of_positive_ones():
    lanes = [ended(loss) for loss in (1.0, 1e-3, 0.0)]
    scale = Scale.of(lanes)
    assert scale.unit is None and [scale.score(o) for o in lanes] == sorted((scale.score(o) for o in lanes), reverse=True)
    assert scale.score(lanes[0]) == pytest.approx(math.log(0.5))


def test_a_ratio_of_losses_is_said_of_positive_ones_only():
    def at(points):
        return BestRate(Estimate(0.1, 0.05, 0.2), None, (3, 3), (RungResult(10, points, 0.1, True),), "validation loss", 1.0)

    positive = at(((0.01, -1.0, 0.9), (0.1, -2.0, 0.1), (1.0, -1.5, 0.4)))
    assert positive.loss_ratio(0.1) == pytest.approx(1.0)
    assert positive.loss_ratio(10**-1.5) == pytest.approx(3.0), "half way, in logarithms, to nine times the best"
    assert positive.loss_ratio(1.0) == pytest.approx(4.0) and positive.loss_ratio(2.0) is None
    assert at(((0.01, -1.0, 0.9), (0.1, -2.0, -0.1), (1.0, -1.5, 0.4))).loss_ratio(0.1) is None


@pytest.mark.parametrize(
    ("lanes", "status", "words"),
    [
        ([ended(1.95, lr=0.01), ended(1.9, lr=0.1), ended(2.1, lr=1.0)], Status.NO_PROGRESS, "from 0.01 to 1 .* by a tenth"),
        ([ended(1.0, status=LaneStatus.DIVERGED)] * 3, Status.DIVERGED_EVERYWHERE, "every lane diverged"),
        ([ended(2.0, lr=lr) for lr in (0.01, 0.1)], Status.FLAT, "the same at every learning rate"),
    ],
)
def test_why_there_is_no_rate(lanes, status, words):
    found, reason = no_progress(lanes)
    assert found is status
    import re

    assert re.search(words, reason)
