"""Data in one order: said where short lanes saw the beginning of them only."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import etastar

MEMORY = etastar.Options(store=":memory:", workers=1)


def problem(*, shuffle: bool, samples: int) -> etastar.Problem:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, x.sum(1, keepdim=True))
    return etastar.Problem(
        model=lambda: nn.Linear(4, 1),
        optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.05),
        loss=nn.functional.mse_loss,
        train=DataLoader(data, batch_size=8, shuffle=shuffle),
        valid=(x[:64], x[:64].sum(1, keepdim=True)),
        steps=64,
    )


@pytest.mark.parametrize(
    ("shuffle", "samples", "said"), [(False, 64 * 8, True), (True, 64 * 8, False), (False, 16 * 8, False)],
    ids=["in order", "shuffled", "in order, seen by every lane"],
)  # fmt: skip
def test_short_lanes_of_data_in_order_are_flagged(shuffle, samples, said):
    answer = etastar.find(problem(shuffle=shuffle, samples=samples), effort="quick", options=MEMORY)
    assert ("data-in-order" in answer.flags) is said


def test_lanes_of_the_full_length_saw_all_of_them():
    answer = etastar.find(problem(shuffle=False, samples=64 * 8), effort="thorough", options=MEMORY)
    assert "data-in-order" not in answer.flags
