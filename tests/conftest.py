"""Shared by all tests: one thread (two test processes share two cores), a small problem, a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar
from postgres_server import Server, programs

torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed (no initdb in PATH or /usr/lib/postgresql): apt-get install postgresql")
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """An empty database."""
    return postgres_server.url(postgres_server.new_database())
