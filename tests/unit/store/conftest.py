"""An empty store on each database, and a problem whose losses are noise."""

from __future__ import annotations

from pathlib import Path

import pytest

from etastar import Problem
from etastar.problems import builder


@pytest.fixture
def noisy() -> Problem:
    return builder("noisy-quadratic")()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store."""
    return f"sqlite:///{tmp_path / 'runs.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
