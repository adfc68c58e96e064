"""eta* by the way it is done by hand: bisection per seed with an ordinary loop, and seeds until the interval is narrow."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from scipy.stats import t as student

import etastar
from etastar import Criterion, Problem
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import isolated_randomness
from etastar.engine.preflight import preflight, start_steps
from etastar.problems.digits import digits_mlp

RATIO = 1.05
"""A seed's bisection ends when the bracket is this narrow."""
MIN_SEEDS = (4, 10)
"""Seeds before the interval is believed. Simulated, stopping at the first narrow 90 % interval covers 84-86 % with the
first, 89 % with the second; etastar's covers 87-91 % (`make bench BENCH=coverage`)."""


def starts(problem: Problem, criterion: Criterion, lr: float, seed: int, steps: int) -> tuple[bool, int]:
    """Whether an ordinary loop meets the criterion within `steps`, and the steps it took; it stops as soon as it knows."""
    parts = problem.parts
    x, y = problem.train
    size = problem.batch_size or 64
    torch.manual_seed(seed)
    model = parts.model().train()
    optimizer = parts.optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] = lr
    losses: deque[float] = deque(maxlen=criterion.window)
    shares: deque[float] = deque(maxlen=criterion.window)
    per_epoch = len(x) // size
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(x))
        index = order[(step % per_epoch) * size :][:size]
        optimizer.zero_grad()
        outputs = model(x[index])
        loss = parts.loss(outputs, y[index])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        shares.append(float((outputs.argmax(1) == y[index]).float().mean()))
        if not math.isfinite(losses[-1]) or losses[-1] > 1e6:
            return False, step + 1
        full = len(losses) == criterion.window
        if (
            full
            and statistics.fmean(losses) <= criterion.bound(losses[0])
            and statistics.fmean(shares) >= (criterion.accuracy or 0)
        ):
            return True, step + 1
    return False, steps


def bisect(problem: Problem, criterion: Criterion, seed: int, steps: int, start: float) -> tuple[float, int, int]:
    """(eta* of one seed, trainings, gradient steps): double while it starts, halve while it does not, then bisect."""
    runs = spent = 0

    def trial(lr: float) -> bool:
        nonlocal runs, spent
        met, taken = starts(problem, criterion, lr, seed, steps)
        runs, spent = runs + 1, spent + taken
        return met

    low = high = start
    if trial(start):
        while trial(high := 2 * low):
            low = high
    else:
        while not trial(low := high / 2):
            high = low
    while high / low > RATIO:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trial(middle) else (low, middle)
    return math.sqrt(low * high), runs, spent


def by_hand(
    problem: Problem, criterion: Criterion, steps: int, start: float, half_width: float, seed: int, min_seeds: int
) -> dict[str, Any]:
    """Seeds, one after the other, until the 90 % t-interval of the mean log eta* is within +- `half_width`."""
    logs: list[float] = []
    runs = spent = 0
    cpu, wall = time.process_time(), time.perf_counter()
    with isolated_randomness(), steady_numerics():
        while True:
            value, own_runs, own_spent = bisect(problem, criterion, 1000 * seed + len(logs), steps, start)
            logs.append(math.log(value))
            runs, spent = runs + own_runs, spent + own_spent
            if len(logs) >= min_seeds:
                error = student.ppf(0.95, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
                if math.sinh(error) <= half_width or len(logs) >= 200:
                    break
    return {
        "value": math.exp(statistics.fmean(logs)),
        "half_width": math.sinh(error),
        "seeds": len(logs),
        "trainings": runs,
        "gradient_steps": spent,
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
    }


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Alternating: etastar (preflight, choice of engine and all), then bisection to the precision etastar reached."""
    torch.set_num_threads(1)
    problem = digits_mlp()
    facts = preflight(problem)
    etastar.eta_star(problem, options=etastar.Options(store=":memory:", workers=1))  # warm
    for seed in range(config["seeds"]):
        cpu = time.process_time()
        answer = etastar.eta_star(
            problem.but(seed=seed),
            options=etastar.Options(store=":memory:", workers=1),
        )
        cpu = time.process_time() - cpu
        e = answer.estimate
        assert e.ok and e.value and e.low and e.high
        half_width = (e.high - e.low) / 2 / e.value
        row = {
            "seed": seed,
            "value": e.value,
            "low": e.low,
            "high": e.high,
            "half_width": half_width,
            "trainings": e.n,
            "gradient_steps": answer.cost["gradient_steps"],
            "cpu_s": cpu,
            "wall_s": answer.cost["seconds"],
            "engine": answer.engine_choice.sentence(),
        }
        for least in MIN_SEEDS:
            hand = by_hand(problem, facts.criterion, start_steps(problem), facts.lr or 0.05, half_width, seed, least)
            row |= {f"hand{least}_{key}": value for key, value in hand.items()}
            row[f"cpu_ratio{least}"] = hand["cpu_s"] / cpu
        yield row
