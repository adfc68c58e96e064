"""Shared by all tests: one thread (two test processes share two cores), and a small classification problem."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import etastar

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
