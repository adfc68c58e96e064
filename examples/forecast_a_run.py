"""Two small trainings, logged as anyone logs them, and the loss of a third that is forecast before it is trained."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

import etastar

STEPS = 1200


def constant(step: int) -> float:
    """The rate stands still."""
    return 1.0


def halved(step: int) -> float:
    """Falls to a tenth over the second half."""
    return min(1.0, 0.1 + 1.8 * (1 - step / STEPS))


def cosine(step: int) -> float:
    """Half a period."""
    return 0.5 * (1 + math.cos(math.pi * step / STEPS))


def train(shape, peak: float = 0.1) -> dict[str, list[float]]:
    """SGD on fresh examples of a noisy teacher: every example is seen once. Its log: step, lr, loss on 4,096 others."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 1))
    student = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 1))
    draws = torch.Generator().manual_seed(1)

    def batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(size, 16, generator=draws)
        with torch.no_grad():
            return x, 3 * teacher(x) + 0.5 * torch.randn(size, 1, generator=draws)

    held, optimizer = batch(4096), torch.optim.SGD(student.parameters(), lr=peak)
    log: dict[str, list[float]] = {"step": [], "lr": [], "val_loss": []}
    for step in range(STEPS):
        lr = optimizer.param_groups[0]["lr"] = peak * shape(step)
        x, y = batch(16)
        optimizer.zero_grad()
        F.mse_loss(student(x), y).backward()
        optimizer.step()
        if (step + 1) % 20 == 0:
            with torch.no_grad():
                loss = F.mse_loss(student(held[0]), held[1]).item()
            for name, value in zip(log, (step + 1, lr, loss), strict=True):
                log[name].append(value)
    return log


logs = [train(constant), train(halved)]
answer = etastar.forecast(*logs, schedule="cosine", steps=STEPS)
print("forecast:", answer["schedule"].sentence)
print(f"trained:  {train(cosine)['val_loss'][-1]:.4g}")
