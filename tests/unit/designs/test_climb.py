"""A climb: which rate comes next while nothing is learned, and where longer lanes go on."""

from __future__ import annotations

import pytest

from etastar.designs.best_rate.climb import FAILED, Climb


def climbed(spacing, lanes, scores):
    climb = Climb(0.0, spacing, lanes)
    for k, score in scores.items():
        climb.tell(k * spacing, score)
    return climb


@pytest.mark.parametrize(
    ("spacing", "scores", "following"),
    [
        (0.5, {-1: -1e-6, 0: -1e-5, 1: -1e-4}, 1.5),  # nothing moved: a decade above the highest
        (0.5, {-1: 1e-6, 0: 1e-5, 1: 1e-4}, 1.5),  # a loss that rose by a hair has not got worse
        (0.5, {-1: FAILED, 0: FAILED, 1: FAILED}, -1.5),  # all failed: a decade below the lowest
        (0.75, {-1: 0.3, 0: FAILED, 1: FAILED}, -2.25),  # at least a decade: two steps of the lattice
        (1.0, {-1: -1e-3, 0: -1e-2, 1: -1e-2}, 2.0),
        (0.25, {-1: 0.1, 0: 0.2, 1: FAILED}, -1.25),
        (0.5, {-1: 0.0, 0: -0.01, 3: FAILED}, 0.5),  # between what stood still and what failed
        (
            0.5,
            {-1: -0.01, 0: -0.01, 1: FAILED},
            None,
        ),  # side by side: longer lanes may tell, further ones at this length not
        (0.5, {-1: -0.03, 0: -0.04, 1: -0.06}, 1.5),  # it moved, but that is no progress yet: still in decades
        (0.5, {-1: -0.3, 0: -0.4, 1: -0.6}, 1.0),  # progress: the missing neighbour
        (0.5, {-1: -0.3, 0: -0.6, 1: -0.4}, None),
        (0.5, {-1: -0.2, 1: -0.6, 2: FAILED}, 0.0),  # a gap beside the best is filled
    ],
)
def test_the_next_rate(spacing, scores, following):
    found = climbed(spacing, 9, scores).ask()
    assert found == ([] if following is None else [pytest.approx(following)])


@pytest.mark.parametrize(
    ("scores", "end"),
    [
        ({-1: -1e-6, 0: -1e-5, 1: -1e-4}, 1.5),
        ({-1: FAILED, 0: FAILED, 1: FAILED}, -1.5),
        ({-1: -0.01, 0: -0.015, 1: FAILED}, 0.0),
        ({-1: -0.03, 0: -0.04, 1: -0.06}, 1.5),
        ({-1: -0.3, 0: -0.4, 1: -0.6}, 0.5),
        ({-1: -0.5, 0: -0.6, 1: -0.5}, 0.0),
    ],
)
def test_where_longer_lanes_go_on(scores, end):
    climb = climbed(0.5, 3, scores)
    assert climb.ask() == [], "its lanes are spent"
    assert climb.end == pytest.approx(end)


def test_a_decade_above_a_best_that_moved_little_is_tried_once():
    """It was worse: the neighbour comes next, and the climb ends; it used to ask for that decade for ever."""
    climb = Climb(-1.0, 0.25, 40)
    score = {3: -0.05}  # at -0.25; below it nothing moves, above it lanes fail
    asked: list[int] = []
    while wanted := [round((x + 1.0) / 0.25) for x in climb.ask()]:
        asked += wanted
        assert len(asked) <= 20, "it asks for ever"
        for k in wanted:
            climb.tell(-1.0 + 0.25 * k, score.get(k, 0.0 if k < 3 else 0.4))
    assert asked == [0, 1, -1, 5, 3, 2, 7, 4] and climb.bracketed
