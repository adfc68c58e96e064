"""A product of parameters of which one diagonal is tested by default, and the whole with the slow tests."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def diagonal(*axes: Iterable[Any]) -> list[Any]:
    """Every combination; those off the diagonal, on which each value of each axis lies at least once, are slow.

    >>> [own.values for own in diagonal("ab", "xyz") if not own.marks]
    [('a', 'x'), ('a', 'z'), ('b', 'y')]
    """
    values = [list(axis) for axis in axes]
    kept = {tuple(i % len(own) for own in values) for i in range(max(map(len, values)))}
    found = []
    for place in product(*(range(len(own)) for own in values)):
        marks = () if place in kept else pytest.mark.slow
        found.append(pytest.param(*(own[i] for own, i in zip(values, place, strict=True)), marks=marks))
    return found
