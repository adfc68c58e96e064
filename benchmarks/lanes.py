"""Many lanes against the loop a user would write: wall time on all cores, alternating, warm; cold figures beside them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from etastar import Criterion, Lane, Problem
from etastar.core import Until
from etastar.engine import WorkerEngine
from etastar.engine.choice import choose
from etastar.problems.digits import Transformer, cnn, digits_cnn, digits_mlp, load

UNREACHABLE = Criterion(loss=-math.inf)
LR = 1e-3


def networks() -> dict[str, tuple[Callable[[], Problem], int, int, int]]:
    """name -> (problem, lanes and steps we train in a round, steps of the ordinary loop in a round)."""
    return {
        "MLP 3x32": (lambda: digits_mlp(width=32).but(valid=None), 64, 200, 400),
        "MLP 3x128": (lambda: digits_mlp(width=128).but(valid=None), 64, 200, 400),
        "MLP 3x512": (lambda: digits_mlp(width=512).but(valid=None), 16, 200, 200),
        "CNN 8x8": (lambda: digits_cnn().but(valid=None), 64, 50, 100),
        "CNN 28x28": (_cnn28, 16, 20, 30),
        "transformer B=16": (_transformer, 16, 20, 40),
    }


def _cnn28() -> Problem:
    """The same convolutions on 28 x 28 noise: a timing, no training."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(512, 784, generator=generator), torch.randint(0, 10, (512,), generator=generator)

    def model() -> nn.Module:
        layers = list(cnn(8))
        return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *layers[1:-1], nn.Linear(16 * 14 * 14, 10))

    optimizer = lambda m: torch.optim.SGD(m.parameters(), lr=LR, momentum=0.9)
    return Problem(model=model, optimizer=optimizer, loss=F.cross_entropy, train=(x, y), batch_size=64, steps=200)


def _transformer() -> Problem:
    """Two pre-LayerNorm layers of 64 on 32 tokens, batch 16, Adam."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(512, 32 * 8, generator=generator), torch.randint(0, 10, (512,), generator=generator)

    class Tokens(Transformer):
        def __init__(self) -> None:
            super().__init__(2, 64, 4)
            self.position = nn.Parameter(0.02 * torch.randn(32, 64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.norm(self.layers(self.embed(x.unflatten(1, (32, 8))) + self.position)).mean(1))

    optimizer = lambda m: torch.optim.Adam(m.parameters(), lr=LR)
    return Problem(model=Tokens, optimizer=optimizer, loss=F.cross_entropy, train=(x, y), batch_size=16, steps=200)


def ordinary_loop(problem: Problem, steps: int, threads: int) -> float:
    """Seconds of a step of the plain loop: batches by index, nothing logged, nothing checked."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    parts = problem.parts
    x, y = problem.train
    size = problem.batch_size or 64
    model = parts.model().train()
    optimizer = parts.optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] = LR

    def train(count: int) -> None:
        for step in range(count):
            if step % (len(x) // size) == 0:
                order = torch.randperm(len(x))
            index = order[(step % (len(x) // size)) * size :][:size]
            optimizer.zero_grad()
            parts.loss(model(x[index]), y[index]).backward()
            optimizer.step()

    train(3)
    started = time.perf_counter()
    train(steps)
    return (time.perf_counter() - started) / steps


def flops_per_step(problem: Problem) -> int:
    """Multiply-adds x 2 of one lane's step, forward and backward."""
    x, y = problem.train
    size = problem.batch_size or 64
    model = problem.model()  # type: ignore[misc]
    with FlopCounterMode(display=False) as counter:
        problem.loss(model(x[:size]), y[:size]).backward()  # type: ignore[misc]
    return counter.get_total_flops()


def sgemm_peak(threads: int, size: int = 1024) -> float:
    """Best float32 multiply-adds x 2 per second of a square product."""
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = math.inf
    for _ in range(8):
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per network and round."""
    load()
    default = torch.get_num_threads()
    cores = os.cpu_count() or 1
    for name, (make, lanes, steps, loop_steps) in networks().items():
        problem = make()
        flops = flops_per_step(problem)
        started = time.perf_counter()
        choice = choose(problem, UNREACHABLE, at_most=lanes)
        trial = time.perf_counter() - started
        with WorkerEngine(cores, choice.build("cpu")) as engine:
            started = time.perf_counter()
            _train(engine, problem, lanes, 1)
            start_workers = time.perf_counter() - started
            for round_ in range(config["rounds"]):
                single = ordinary_loop(problem, loop_steps, 1)
                several = ordinary_loop(problem, loop_steps, default)
                torch.set_num_threads(1)
                ours = _train(engine, problem, lanes, steps)
                peak = sgemm_peak(cores)
                torch.set_num_threads(default)
                yield {
                    "network": name,
                    "engine": choice.sentence(),
                    "round": round_,
                    "lanes": lanes,
                    "steps": steps,
                    "loop_1_thread_us": 1e6 * single,
                    "loop_default_threads_us": 1e6 * several,
                    "ours_us": 1e6 * ours,
                    "ratio": min(single, several) / ours,
                    "flops": flops,
                    "peak": peak,
                    "of_peak": flops / ours / peak,
                    "trial_s": trial,
                    "start_workers_s": start_workers,
                    "load": os.getloadavg()[0],
                }


def _train(engine: WorkerEngine, problem: Problem, lanes: int, steps: int) -> float:
    """Seconds of wall time per lane-step."""
    asked = [Lane(LR, seed, steps, UNREACHABLE, Until.END) for seed in range(lanes)]
    started = time.perf_counter()
    outcomes = list(engine.train(problem, asked))
    seconds = time.perf_counter() - started
    assert sum(o.steps for _, o in outcomes) == lanes * steps
    return seconds / lanes / steps
