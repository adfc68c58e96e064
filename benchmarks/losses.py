"""eta* under sums, weights, smoothing, ignored labels and other losses than cross-entropy, against an ordinary loop.

The loop knows nothing of etastar: its threshold is 0.8 x the loss of a constant output that plain gradient descent found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import etastar

SAMPLES, FEATURES, CLASSES, BATCH, STEPS, WINDOW = 768, 12, 4, 32, 120, 10
BLOW_UP = 1e6
"""A loss this many times its start is a divergence, even if it comes back (dead units can bring it)."""
OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    "adam": lambda m: torch.optim.Adam(m.parameters(), lr=1e-3),
}
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Four overlapping clouds, one of them rare."""
    draw = torch.Generator().manual_seed(7)
    labels = torch.multinomial(torch.tensor([0.4, 0.3, 0.25, 0.05]), SAMPLES, replacement=True, generator=draw)
    centres = 1.5 * torch.randn(CLASSES, FEATURES, generator=draw)
    return centres[labels] + torch.randn(SAMPLES, FEATURES, generator=draw), labels


INPUTS, LABELS = data()
WEIGHT = SAMPLES / (CLASSES * torch.bincount(LABELS).float())
LOSSES: dict[str, Loss] = {
    "mean cross-entropy": nn.CrossEntropyLoss(),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "weighted": nn.CrossEntropyLoss(weight=WEIGHT),
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "ignored label": nn.CrossEntropyLoss(ignore_index=2),
    "margin": nn.MultiMarginLoss(),
    "one against the rest": lambda z, t: F.binary_cross_entropy_with_logits(z, F.one_hot(t, CLASSES).float()),
}


def net() -> nn.Module:
    """Four hidden layers as He draws them: at high rates units die, and the loss sits where nothing is known."""
    layers: list[nn.Module] = []
    for n, m in zip((FEATURES, 32, 32, 32, 32), (32, 32, 32, 32, CLASSES), strict=True):
        layers += [nn.Linear(n, m), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.zeros_(layers[-2].bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def best_constant(loss: Loss) -> float:
    """The loss per batch of the best constant output, by 600 steps of plain gradient descent on it."""
    torch.manual_seed(0)
    batches = LABELS[torch.randperm(SAMPLES)].split(BATCH)
    constant = torch.zeros(CLASSES, requires_grad=True)
    descent = torch.optim.Adam([constant], lr=0.05)
    slower = torch.optim.lr_scheduler.LinearLR(descent, 1.0, 0.01, 600)
    best = math.inf
    for _ in range(600):
        descent.zero_grad()
        value = torch.stack([loss(constant.expand(BATCH, CLASSES), labels) for labels in batches]).mean()
        value.backward()
        descent.step()
        slower.step()
        best = min(best, value.item())
    return best


def trains(loss: Loss, optimizer: str, lr: float, seed: int, threshold: float) -> bool:
    """An ordinary loop: whether the mean loss of ten consecutive batches gets down to `threshold`, and has not blown up."""
    torch.manual_seed(seed)
    model = net()
    stepper = OPTIMIZERS[optimizer](model)
    for group in stepper.param_groups:
        group["lr"] = lr
    losses: list[float] = []
    while len(losses) < STEPS:
        for some in torch.randperm(SAMPLES).split(BATCH):
            stepper.zero_grad()
            value = loss(model(INPUTS[some]), LABELS[some])
            value.backward()
            stepper.step()
            losses.append(value.item())
            if len(losses) >= WINDOW and sum(losses[-WINDOW:]) / WINDOW <= threshold:
                return True
            if not losses[-1] <= BLOW_UP * losses[0] or len(losses) == STEPS:
                return False
    return False


def loop_interval(loss: Loss, optimizer: str, threshold: float, around: float, seeds: int) -> tuple[float, float]:
    """(highest rate of a ladder at which 3 of 4 seeds train, lowest above it at which 1 of 4 does at most)."""
    shares: dict[float, float] = {}
    for power in range(-12, 13):
        lr = around * 10 ** (power / 12)
        shares[lr] = sum(trains(loss, optimizer, lr, seed, threshold) for seed in range(seeds)) / seeds
    rates = sorted(shares)
    above = [lr for lr in rates if shares[lr] <= 0.25 and any(shares[x] >= 0.75 for x in rates if x < lr)]
    high = above[0] if above else rates[-1]
    return max(lr for lr in rates if lr < high and shares[lr] >= 0.75), high


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per loss and optimizer, or of the pairs in `only`."""
    torch.set_num_threads(1)
    for optimizer in OPTIMIZERS:
        for name, loss in LOSSES.items():
            if [name, optimizer] not in config.get("only", [[name, optimizer]]):
                continue
            threshold = 0.8 * best_constant(loss)
            problem = etastar.Problem(
                model=net,
                optimizer=OPTIMIZERS[optimizer],
                loss=loss,
                train=(INPUTS, LABELS),
                batch_size=BATCH,
                steps=STEPS,
                seed=config["seed"],
            )
            precision = etastar.Precision(max_runs=config["max_runs"])
            answer = etastar.eta_star(problem, precision=precision, options=etastar.Options(store=":memory:", workers=1))
            e = answer.estimate
            uninformed = answer.facts.criterion.uninformed
            row = {
                "loss": name,
                "optimizer": optimizer,
                "uninformed": uninformed,
                "by_hand": threshold / 0.8,
                "eta_star": e.value,
                "low": e.low,
                "high": e.high,
                "decades": math.log10(e.high / e.low) if e.high and e.low else None,
                "flags": list(e.flags),
            }
            if e.value is not None:
                row["loop_low"], row["loop_high"] = loop_interval(loss, optimizer, threshold, e.value, config["loop_seeds"])
            yield row


def overlaps(row: dict[str, Any]) -> bool:
    """Whether the interval and the loop's have a rate in common."""
    return row["low"] is not None and row["low"] <= row["loop_high"] and row["loop_low"] <= row["high"]
