"""Two real processes that train one network: their policies see the same, and their weights stay the same to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import etastar
from adapters.two_ranks import STEPS, batch, network
from etastar.adapters.controller import Controller

SCRIPT = Path(__file__).parent / "two_ranks.py"
SOURCE = Path(etastar.__file__).parents[1]
POLICIES = ("polyak:c=20,cap=10", "plateau:signal=loss,every=1,patience=0,factor=0.5", "hypergradient:beta=0.3")


def alone(policy: str) -> list[float]:
    """Rates of one process that sees both halves of every batch."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    controller, rates = Controller(optimizer, policy, steps=STEPS), []
    for step in range(STEPS):
        x, y = batch(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)  # the mean of the halves' means
        loss.backward()
        rates.append(controller.step(loss=loss))
        optimizer.step()
    return rates


@pytest.fixture(scope="session")
def ranks(tmp_path_factory) -> list[dict]:
    """What each rank has of every policy; two processes for all of them, for most of the time goes into their start."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    parts = [folder / "meeting", folder / "out", *POLICIES]
    processes = [subprocess.Popen([sys.executable, SCRIPT, str(rank), *parts], env=environment) for rank in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    return [torch.load(folder / f"out.{rank}", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("policy", POLICIES)
def test_two_ranks_keep_the_same_weights_and_follow_the_mean_of_their_signals(policy, ranks):
    first, second = (rank[policy] for rank in ranks)
    assert first["rates"] == second["rates"]
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))
    assert first["rates"] == pytest.approx(alone(policy), rel=1e-9)
    assert len(set(first["rates"])) > 1
