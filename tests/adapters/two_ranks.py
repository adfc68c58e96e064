"""One of two processes that train networks on halves of every batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import distributed, nn

from etastar.adapters.controller import Controller

STEPS = 12


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(32, 16, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return x, (x[:, 0] > 0).long()


def train(rank: int, policy: str) -> dict:
    """What this rank saw, and the weights it ended with."""
    model = nn.parallel.DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    controller = Controller(optimizer, policy, steps=STEPS)
    rates = []
    for step in range(STEPS):
        x, y = batch(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[rank::2]), y[rank::2])
        loss.backward()
        rates.append(controller.step(loss=loss))
        optimizer.step()
    return {"rates": rates, "weights": [p.detach() for p in model.parameters()]}


def main(rank: int, meeting: str, out: str, policies: tuple[str, ...]) -> None:
    """Train with each of the policies in turn, and save what there was to see as OUT.RANK."""
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.save({policy: train(rank, policy) for policy in policies}, f"{out}.{rank}")
    distributed.barrier()  # who leaves first takes the connection from under the other
    distributed.destroy_process_group()
