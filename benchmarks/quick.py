"""Time of `find --effort quick` against one ordinary full training, both in a warm process, alternating.

Wall time, and that of the processor, worker processes included, which does not tell how much waited for what: on a machine
that others use, too, it is the one to read.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import etastar
from etastar.core.lane import Criterion, Lane, Until
from etastar.engine.loop import LoopEngine
from etastar.problems import builder

RATES = {"digits-deep-mlp": 0.01, "digits-transformer": 1e-3}
"""At which the ordinary run trains to its end; 0.05 elsewhere. At 0.05 one seed in three of the deep network diverges half
way, and a run that ends early is no measure."""


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row a problem and round: seconds of both."""
    torch.set_num_threads(1)
    for name, steps in config["problems"]:
        problem = builder(name)(steps=steps)
        lr = RATES.get(name, 0.05)
        warm = etastar.Options(store=":memory:")
        etastar.find(problem, effort="glance", options=warm)
        for seed in range(config["rounds"]):
            lane = Lane(lr, seed, steps, Criterion(loss=-1e9), Until.END)
            _, ordinary, ordinary_cpu = timed(lambda: LoopEngine().train_lane(problem, lane))  # noqa: B023
            answer, quick, quick_cpu = timed(lambda: etastar.find(problem, effort="quick", seed=seed, options=warm))  # noqa: B023
            yield {
                "problem": name,
                "steps": steps,
                "seed": seed,
                "ordinary_s": ordinary,
                "quick_s": quick,
                "ratio": quick / ordinary,
                "ordinary_cpu_s": ordinary_cpu,
                "quick_cpu_s": quick_cpu,
                "cpu_ratio": quick_cpu / ordinary_cpu,
                "full_runs": answer.cost["full_runs"],
                "lr": answer.lr.value,
                "engine": answer.engine_choice.sentence(),
            }


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gives, its seconds, and those of the processor, in processes that have ended meanwhile, too."""
    began, before = time.perf_counter(), _processor()
    found = call()
    return found, time.perf_counter() - began, _processor() - before


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)
