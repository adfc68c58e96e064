"""Two real processes that train one network: their policies see the same, and their weights stay the same to the bit."""

from __future__ import annotations

import multiprocessing
import warnings

import pytest
import torch
import torch.nn.functional as F

from adapters.two_ranks import STEPS, batch, main, network
from etastar.adapters.controller import Controller
from processes import PATIENCE

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
    """What each rank has of every policy; two copies of this process for all of them: to start afresh took each 2.7 s."""
    folder = tmp_path_factory.mktemp("ranks")
    parts = (str(folder / "meeting"), str(folder / "out"), POLICIES)
    copies = multiprocessing.get_context("fork")
    processes = [copies.Process(target=main, args=(rank, *parts), daemon=True) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join(timeout=PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"out.{rank}", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("policy", POLICIES)
def test_two_ranks_keep_the_same_weights_and_follow_the_mean_of_their_signals(policy, ranks):
    first, second = (rank[policy] for rank in ranks)
    assert first["rates"] == second["rates"]
    assert all(torch.equal(a, b) for a, b in zip(first["weights"], second["weights"], strict=True))
    assert first["rates"] == pytest.approx(alone(policy), rel=1e-9)
    assert len(set(first["rates"])) > 1
