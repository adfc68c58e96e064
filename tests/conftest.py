"""Shared by all tests: one thread (two test processes share two cores), a small problem, a real PostgreSQL."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from postgres_server import Server, programs

torch.set_num_threads(1)
FORKS = pytest.StashKey[list[tuple[Any, ...]]]()
"""(engine, network, optimizer, trunk, largest difference, share of the steps) of what the tests of forks compared."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Keep what was collected out of the way of the garbage collector, which walked it for a twentieth of the whole run."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(7000, 10, 10)  # of 700: imports and trees of calls are what it walks in vain, a tenth of the CPU
        gc.enable()


@pytest.fixture
def fork_table(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Notes one row of the table that the run ends with."""
    rows = request.config.stash.setdefault(FORKS, [])

    def note(engine: str, network: str, optimizer: str, trunk: str, apart: float, outcomes: list[etastar.Outcome]) -> None:
        share = sum(o.spent for o in outcomes) / sum(o.steps for o in outcomes) if outcomes else None
        rows.append((engine, network, optimizer, trunk, apart, share))

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not (rows := config.stash.get(FORKS, [])):
        return
    terminalreporter.section("forks against training every arm from its start, float64")
    terminalreporter.write_line(f"{'engine':24}{'network':13}{'optimizer':22}{'trunk':11}{'difference':>11}{'steps':>8}")
    for engine, network, optimizer, trunk, apart, share in rows:
        steps = "" if share is None else f"{share:8.0%}"
        terminalreporter.write_line(f"{engine:24}{network:13}{optimizer:22}{trunk:11}{apart:11.1e}{steps}")


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 6, generator=generator)
    return x, (x @ torch.randn(6, 3, generator=generator)).argmax(1)


@pytest.fixture
def small(data) -> etastar.Problem:
    return etastar.Problem(
        model=lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        loss=F.cross_entropy,
        train=data,
        batch_size=16,
        steps=40,
    )


@pytest.fixture
def few_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals from 4 refits in place of 24, which take half the time of tests about what is read, told and refused."""
    monkeypatch.setattr("etastar.laws.curves.curve_law.REFITS", 4)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (no initdb in PATH or /usr/lib/postgresql): apt-get install postgresql")
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty database."""
    with postgres_server.lent_database() as database:
        yield postgres_server.url(database)
