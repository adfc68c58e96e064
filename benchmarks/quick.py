"""Wall time of `find --effort quick` against one ordinary full training, both in a warm process, alternating."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

import etastar
from etastar.core.lane import Criterion, Lane, Until
from etastar.engine.loop import LoopEngine
from etastar.problems import builder


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a problem and round: seconds of both."""
    torch.set_num_threads(1)
    for name, steps in config["problems"]:
        problem = builder(name)(steps=steps)
        lr = 0.05 if name != "digits-transformer" else 1e-3
        warm = etastar.Options(store=":memory:")
        etastar.find(problem, effort="glance", options=warm)
        for seed in range(config["rounds"]):
            started = time.perf_counter()
            LoopEngine().train_lane(problem, Lane(lr, seed, steps, Criterion(loss=-1e9), Until.END))
            ordinary = time.perf_counter() - started
            started = time.perf_counter()
            answer = etastar.find(problem, effort="quick", seed=seed, options=warm)
            quick = time.perf_counter() - started
            yield {
                "problem": name,
                "steps": steps,
                "seed": seed,
                "ordinary_s": ordinary,
                "quick_s": quick,
                "ratio": quick / ordinary,
                "full_runs": answer.cost["full_runs"],
                "lr": answer.lr.value,
                "engine": answer.engine_choice.sentence(),
            }
