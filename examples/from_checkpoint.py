"""Is my rate still right, 150 of 500 steps in? A run that began 4 x too high, its checkpoint, and the rate for the rest."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.problems.digits import load

(images, labels), (valid_images, valid_labels) = load()
AT, LR = 150, 0.04


def model() -> nn.Module:
    """A small network with the statistics that a checkpoint has to carry."""
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


problem = etastar.Problem(
    model=model,
    optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=LR),
    loss=F.cross_entropy,
    train=(images, labels),
    valid=(valid_images, valid_labels),
    batch_size=32,
    steps=500,
    schedule="cosine",
)


def run_until(step: int, path: Path) -> None:
    """An ordinary loop, stopped under way; any other that saves these two would do."""
    torch.manual_seed(0)
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, problem.steps)
    for _ in range(step):
        batch = torch.randint(len(images), (32,))
        optimizer.zero_grad()
        F.cross_entropy(net(images[batch]), labels[batch]).backward()
        optimizer.step()
        scheduler.step()
    torch.save({"model": net.state_dict(), "optimizer": optimizer.state_dict()}, path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "run.pt"
        run_until(AT, checkpoint)
        answer = etastar.find(problem, start_from=checkpoint, at=AT, effort="quick")
    print(answer.summary)
    print(f"cost: {answer.cost['full_runs']:.2f} x the rest, {answer.seconds:.1f} s")
