"""A policy in a loop of one's own: three lines of etastar, and a checkpoint that resumes exactly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from etastar import Controller
from etastar.problems.digits import load

STEPS = 300


def train() -> tuple[nn.Module, list[float]]:
    """An ordinary loop: held, then cooled down over the second half."""
    torch.manual_seed(0)
    (images, labels), _ = load()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    controller = Controller(optimizer, "wsd:decay=0.5", steps=STEPS)
    rates = []
    for _ in range(STEPS):
        index = torch.randint(len(images), (64,))
        loss = F.cross_entropy(model(images[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        controller.step(loss=loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return model, rates


if __name__ == "__main__":
    (_, (images, labels)), (model, rates) = load(), train()
    accuracy = (model(images).argmax(1) == labels).float().mean()
    print(f"rate {max(rates):.3g} -> {rates[-1]:.3g}, accuracy {accuracy:.3f}")
