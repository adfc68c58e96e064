"""`compare` against the loops a user would write for it: the same lanes, with torch's own schedulers."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau

import etastar
from etastar import Options, Problem
from etastar.core.lane import Outcome
from etastar.problems.digits import digits_mlp
from etastar.verbs.compare.compare_answer import CompareAnswer

SHAPES = ("linear", "cosine", "wsd", "one-cycle", "constant")
"""The loop has the same rates: final losses may be held against each other."""
POLICIES = (*SHAPES, "plateau", "greedy", "hypergradient")
STEP = 0.02
"""How far the hypergradient moves a rate in a step."""

After = Callable[[float], object]
"""What a user's loop does after each step with its loss."""


def nothing(loss: float) -> None:
    """A constant rate."""


def after_each_step(policy: str, optimizer: Optimizer, lr: float, steps: int) -> After:
    """The shortest way to have this policy with torch alone; greedy is taken for plateau, which costs no more."""
    if policy == "constant":
        return nothing
    if policy in {"plateau", "greedy"}:
        return ReduceLROnPlateau(optimizer, patience=10).step
    if policy == "hypergradient":
        return Hypergradient(optimizer)
    scheduler = {
        "linear": lambda: LambdaLR(optimizer, lambda t: 1 - t / steps),
        "wsd": lambda: LambdaLR(optimizer, lambda t: min(1.0, (t + 1) / (0.05 * steps), (steps - t) / (0.2 * steps))),
        "cosine": lambda: CosineAnnealingLR(optimizer, steps),
        "one-cycle": lambda: OneCycleLR(optimizer, lr, total_steps=steps + 1, cycle_momentum=False),
    }[policy]()
    return lambda loss: scheduler.step()


class Hypergradient:
    """The rate grows while gradients agree and falls while they do not."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.before = optimizer, None

    def __call__(self, loss: float) -> None:
        grads = [p.grad.flatten() for group in self.optimizer.param_groups for p in group["params"]]
        own = torch.cat(grads)
        if self.before is not None:
            cosine = float(torch.dot(own, self.before) / (own.norm() * self.before.norm() + 1e-12))
            for group in self.optimizer.param_groups:
                group["lr"] *= 1 + STEP * cosine
        self.before = own


def ordinary_lane(problem: Problem, policy: str, lr: float, seed: int) -> float:
    """The validation loss of one training; losses are kept, and one that is not finite ends it."""
    parts = problem.parts
    (x, y), (valid_x, valid_y) = problem.train, problem.valid
    size = problem.batch_size or 64
    torch.manual_seed(seed)
    model = parts.model().train()
    optimizer = parts.optimizer(model)
    for group in optimizer.param_groups:
        group["lr"] = lr
    after = after_each_step(policy, optimizer, lr, problem.steps)
    losses: list[float] = []
    for step in range(problem.steps):
        if step % (len(x) // size) == 0:
            order = torch.randperm(len(x))
        index = order[(step % (len(x) // size)) * size :][:size]
        optimizer.zero_grad()
        loss = parts.loss(model(x[index]), y[index])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            return math.inf
        after(losses[-1])
    with torch.no_grad():
        return float(parts.loss(model.eval()(valid_x), valid_y))


def by_hand(problem: Problem, lanes: Sequence[tuple[str, Outcome]]) -> dict[str, list[float]]:
    """policy -> losses of the same rates and seeds, one training after the other."""
    found: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for policy, outcome in lanes:
        found[policy].append(ordinary_lane(problem, policy, outcome.lane.lr, outcome.lane.seed))
    return found


def timed(act: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returns, seconds of CPU of this process, seconds on the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = act()
    return found, time.process_time() - cpu, time.perf_counter() - wall


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Alternating: `compare` in this process, with workers, then its lanes by hand on one thread.

    Of `compare` everything counts: preflight, choice of engine, store. Its workers are warm.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    problem = digits_mlp()

    def ours(seed: int, workers: int) -> CompareAnswer:
        options = Options(store=":memory:", workers=workers)
        return etastar.compare(problem, POLICIES, budget=config["budget"], seed=seed, options=options)

    for workers in (1, config["workers"]):
        ours(-1, workers)
    for seed in range(config["rounds"]):
        answer, cpu, _ = timed(lambda: ours(seed, 1))  # noqa: B023
        _, _, wall = timed(lambda: ours(seed, config["workers"]))  # noqa: B023
        names = {own.policy: own.name for own in answer.compared}
        lanes = [(names[repr(outcome.lane.policy)], outcome) for outcome in answer.runs]
        losses, hand, hand_wall = timed(lambda: by_hand(problem, lanes))  # noqa: B023
        fresh = {own.name: own.seeds for own in answer.compared}
        yield {
            "seed": seed,
            "trainings": len(lanes),
            "steps": sum(outcome.steps for _, outcome in lanes),
            "seeds": min(fresh.values()),
            "cpu_s": cpu,
            "hand_cpu_s": hand,
            "cpu_ratio": hand / cpu,
            "wall_s": wall,
            "hand_wall_s": hand_wall,
            "wall_ratio": hand_wall / wall,
            "engine": answer.engine_choice.sentence(),
            "losses": {own.name: own.loss for own in answer.compared if own.name in SHAPES},
            "hand_losses": {name: statistics.fmean(losses[name][-fresh[name] :]) for name in SHAPES},
            "load": os.getloadavg()[0],
        }
