"""Charts are checked against Vega-Lite's schema once, when they are written; not each part by itself, which takes as long
as all else together."""

from __future__ import annotations

from collections.abc import Iterator

import altair.utils.schemapi
import pytest


@pytest.fixture(autouse=True, scope="module")
def checked_once() -> Iterator[None]:
    with altair.utils.schemapi.debug_mode(False):
        yield
