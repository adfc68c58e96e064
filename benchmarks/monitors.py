"""What monitors cost: CPU time of a lane with and without, alternating, on one thread, in the loop and as a row."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any

import torch

from etastar import Criterion, Lane, LaneEngine, Problem
from etastar.core import Until
from etastar.core.monitor import Monitor
from etastar.engine import LoopEngine
from etastar.probes.monitors.named import MONITORS, monitors_over
from etastar.problems import builder

UNREACHABLE = Criterion(loss=-math.inf)
LR = 0.02
KERNELS = {"digits-mlp": "mlp", "digits-cnn": "convnet"}
OFF = "off"


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per problem, engine and round."""
    torch.set_num_threads(1)
    steps = config["steps"]
    named = {OFF: ()} | {name: monitors_over([name], steps) for name in MONITORS}
    for name in config["problems"]:
        problem = builder(name)(steps=steps).but(valid=None)
        for engine in (LoopEngine(), LaneEngine(KERNELS[name])):
            for round_ in range(config["rounds"] + 1):
                own = _turned(list(named), round_)
                seconds = {key: _train(engine, problem, steps, round_, named[key]) for key in own}
                if round_:  # the first warms up
                    looks = steps // next(iter(named["move"])).every + 1
                    labels = {"problem": name, "engine": engine.name, "round": round_, "steps": steps, "looks": looks}
                    yield {**labels, "seconds": seconds, "load": os.getloadavg()[0]}


def _turned(names: list[str], by: int) -> list[str]:
    """Another one begins each round."""
    by %= len(names)
    return names[by:] + names[:by]


def _train(engine: LoopEngine | LaneEngine, problem: Problem, steps: int, seed: int, monitors: tuple[Monitor, ...]) -> float:
    """Seconds of CPU time of one lane."""
    lane = Lane(LR, seed, steps, UNREACHABLE, Until.END, monitors=monitors)
    started = time.process_time()
    [(_, outcome)] = engine.train(problem, [lane])
    seconds = time.process_time() - started
    assert outcome.steps == steps and not outcome.broken and bool(outcome.readings) == bool(monitors)
    return seconds
