"""The universal door: an ordinary training script, with one call of `report` in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.problems.digits import load


def train(lr: float, seed: int, report) -> None:
    """One training, as a user has it; `report` says when to stop."""
    torch.manual_seed(seed)
    (images, labels), (valid_images, valid_labels) = load()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    going = True
    while going:
        for index in torch.randperm(len(images)).split(64):
            outputs = model(images[index])
            loss = F.cross_entropy(outputs, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            accuracy = (outputs.argmax(1) == labels[index]).float().mean()
            if not (going := report(loss=loss, accuracy=accuracy)):
                break
    model.eval()
    with torch.no_grad():
        report.valid(loss=F.cross_entropy(model(valid_images), valid_labels))


problem = etastar.Problem.from_loop(
    train, steps=460, lr=1e-3, optimizer="AdamW", schedule="constant", accuracy_threshold=0.5
)
