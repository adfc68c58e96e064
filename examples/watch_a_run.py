"""Early warning: a training whose rate warms up too far is watched, warned of, and rolled back before it breaks."""

from __future__ import annotations

import logging
import sys

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.problems.digits import load


def train(*, heeding: bool, folder: str | None = None) -> float:
    """The validation accuracy after 300 steps; `folder` is where TensorBoard finds rates and readings."""
    torch.manual_seed(0)
    (images, labels), (valid_images, valid_labels) = load()
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    logger = etastar.adapters.TensorBoard(folder) if folder else None
    controller = etastar.Controller(
        optimizer, "wsd:warmup=0.8,decay=0.1", steps=300, model=model, keep=4, every=10, logger=logger
    )
    x, y = images[:256], labels[:256]
    watcher = etastar.watch(optimizer, model, lambda: F.cross_entropy(model(x), y), logger=logger)
    while controller.taken < 300:
        index = torch.randint(len(images), (64,))
        loss = F.cross_entropy(model(images[index]), labels[index])
        optimizer.zero_grad()
        loss.backward()
        controller.step(loss=loss)
        caution = watcher.step(loss)
        if caution and heeding and controller.taken >= 10:
            print(controller.rollback(caution.factor))
            continue
        optimizer.step()
    with torch.no_grad():
        return float((model(valid_images).argmax(1) == valid_labels).double().mean())


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    print(f"warnings ignored: accuracy {train(heeding=False):.2f}")
    print(f"warnings heeded:  accuracy {train(heeding=True, folder=sys.argv[1] if len(sys.argv) > 1 else None):.2f}")
