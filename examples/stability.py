"""What a cyclic rate does to a network while it trains: activations and signals, block by block, as numbers and a chart."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import etastar
from etastar.problems.digits import load


def train(steps: int = 1200, folder: Path | None = None) -> etastar.adapters.StabilityWatch:
    """An ordinary loop; `folder` is where TensorBoard, if it is installed, finds A_b, B_b and F."""
    torch.manual_seed(0)
    (images, labels), _ = load()
    rows = [layer for _ in range(3) for layer in (nn.Linear(128, 128), nn.LayerNorm(128), nn.GELU())]
    model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), *rows, nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    cycle = torch.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.001, max_lr=0.1, step_size_up=steps // 6)
    watch = etastar.adapters.StabilityWatch(
        optimizer,
        model,
        (images[:128], labels[:128]),
        loss=F.cross_entropy,
        blocks="0, 2, 5, 8, 11",
        every=steps // 60,
        logger=_tensorboard(folder),
    )
    for _ in range(steps):
        index = torch.randint(len(images), (128,))
        noisy = torch.where(torch.rand(128) < 0.2, torch.randint(10, (128,)), labels[index])
        optimizer.zero_grad()
        F.cross_entropy(model(images[index]), noisy).backward()
        optimizer.step()
        watch.step()
        cycle.step()
    return watch


def _tensorboard(folder: Path | None) -> etastar.adapters.TensorBoard | None:
    try:
        return etastar.adapters.TensorBoard(folder) if folder else None
    except etastar.ProblemError as why:
        print(why)
        return None


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/stability")
    out.mkdir(parents=True, exist_ok=True)
    watch = train(folder=out)
    print(watch.table())
    (out / "stability.json").write_text(watch.to_json())
    chart = etastar.reports.stability_chart(watch.rows, "A cyclic rate on digits, labels noisy anew at every step")
    if chart is not None:
        chart.save(out / "stability.png")
        print(f"chart: {out / 'stability.png'}")
