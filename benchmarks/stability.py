"""What stability costs: CPU time of looks and comparisons in steps of a ResNet-18, and of trainings that are watched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

from etastar.adapters import StabilityWatch
from etastar.probes.stability import StabilityProbe
from etastar.problems.resnet18 import ResNet18

CADENCES = {"off": 0, "every 100": 100, "every 75": 75, "every 20": 20}


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a network and round: parts first, whole trainings then."""
    torch.set_num_threads(1)
    for network in config["networks"]:
        loop = Loop(network["width"], network["side"], config["batch"])
        for round_ in range(config["rounds"] + 1):
            found = {"network": loop.name, "round": round_, "seconds": _parts(loop), "load": os.getloadavg()[0]}
            if round_:  # the first warms up
                yield {"kind": "parts", **found}
        for round_ in range(config["rounds"] if network["steps"] else 0):
            turn = round_ % len(CADENCES)
            own = [*list(CADENCES)[turn:], *list(CADENCES)[:turn]]
            seconds = {name: loop.train(network["steps"], CADENCES[name]) for name in own}
            yield {"kind": "training", "network": loop.name, "round": round_, "steps": network["steps"], "seconds": seconds}


class Loop:
    """An ordinary loop on pictures of noise: what it costs does not depend on what is in them."""

    def __init__(self, width: int, side: int, batch: int) -> None:
        self.name = f"width {width}, {side} x {side}"
        torch.manual_seed(0)
        self.model = ResNet18(width)().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        self.x = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
        self.y = torch.arange(batch) % 10

    def step(self) -> None:
        """One of the optimizer."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()

    def train(self, steps: int, every: int) -> float:
        """CPU seconds of so many steps, with a row every `every`."""
        watch = StabilityWatch(self.optimizer, self.model, (self.x, self.y), loss=F.cross_entropy, every=every or 1)
        started = time.process_time()
        for _ in range(steps):
            self.step()
            if every:
                watch.step()
        seconds = time.process_time() - started
        assert len(watch.rows) == (steps // every if every else 0)
        return seconds


def _parts(loop: Loop) -> dict[str, float]:
    """CPU seconds of one of each."""
    probe, split = (StabilityProbe(loop.model, (loop.x, loop.y), loss=F.cross_entropy, split=own) for own in (False, True))
    quiet = StabilityProbe(loop.model, (loop.x, loop.y), loss=F.cross_entropy, gradients=False)
    before, apart = probe.look(), split.look()
    found = {"step": _timed(loop.step, 4)}
    after, further = probe.look(), split.look()
    found["look"] = _timed(probe.look, 4)
    found["look without gradients"] = _timed(quiet.look, 2)
    found["change"] = _timed(lambda: probe.change(before, after), 4)
    found["change, split"] = _timed(lambda: split.change(apart, further), 1)
    return found


def _timed(what: Callable[[], Any], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        what()
    return (time.process_time() - started) / times
