"""A search of 64 trials: etastar against Optuna alone, one trial at a time through an ordinary training loop."""

from __future__ import annotations

import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import torch

import etastar
from etastar import Criterion, Lane, Problem
from etastar.core import Until
from etastar.core.randomness import isolated_randomness
from etastar.problems.digits import digits_mlp

SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "lr": {"lr": {"low": 1e-4, "high": 1.0}},
    "lr, momentum, weight decay": {
        "lr": {"low": 1e-4, "high": 1.0},
        "momentum": {"low": 0.0, "high": 0.99},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
    },
}
FRESH_SEEDS = 8


def train(problem: Problem, settings: dict[str, float], seed: int, steps: int) -> float:
    """What a user writes: batches by index, stop on a loss that is not finite, validation loss at the end."""
    parts = problem.parts
    x, y = problem.train
    size = problem.batch_size or 64
    torch.manual_seed(seed)
    model = parts.model().train()
    optimizer = torch.optim.SGD(model.parameters(), **({"momentum": 0.9} | settings))
    for step in range(steps):
        if step % (len(x) // size) == 0:
            order = torch.randperm(len(x))
        index = order[(step % (len(x) // size)) * size :][:size]
        optimizer.zero_grad()
        loss = parts.loss(model(x[index]), y[index])
        if not math.isfinite(loss.item()):
            return 10.0
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        end = float(parts.loss(model.eval()(problem.valid[0]), problem.valid[1]))
    return min(end, 10.0) if math.isfinite(end) else 10.0


def faster_threads(problem: Problem) -> int:
    """1 or torch's default, whichever trains the ordinary loop faster now."""
    taken = {}
    for threads in (1, torch.get_num_threads()):
        torch.set_num_threads(threads)
        train(problem, {"lr": 0.01}, 0, 20)
        started = time.perf_counter()
        train(problem, {"lr": 0.01}, 0, 100)
        taken[threads] = time.perf_counter() - started
    return min(taken, key=lambda threads: taken[threads])


def by_optuna(problem: Problem, sampler: str, space: dict[str, dict[str, Any]], trials: int, seed: int) -> dict[str, float]:
    """The best parameters of plain Optuna, a study in memory."""
    makers: dict[str, Callable[..., Any]] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}

    def objective(trial: optuna.Trial) -> float:
        drawn = {k: trial.suggest_float(k, v["low"], v["high"], log=v.get("log", k == "lr")) for k, v in space.items()}
        return train(problem, drawn, seed, problem.steps)

    study = optuna.create_study(sampler=makers[sampler](seed=seed))
    study.optimize(objective, n_trials=trials)
    return study.best_params


def fresh_loss(problem: Problem, params: dict[str, float]) -> float:
    """Mean validation loss of these parameters over seeds neither search has seen."""
    settings = tuple((k, v) for k, v in params.items() if k != "lr")
    lanes = [
        Lane(params["lr"], 10_000 + i, problem.steps, Criterion(loss=-math.inf), Until.END, settings=settings)
        for i in range(FRESH_SEEDS)
    ]
    outcomes = [o for _, o in etastar.LaneEngine("mlp").train(problem, lanes)]
    return statistics.fmean(10.0 if o.valid_loss is None else min(o.valid_loss, 10.0) for o in outcomes)


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Alternating: etastar (preflight, choice of engine, store and study on disk and all), then Optuna alone."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = digits_mlp()
    default = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:  # warm: imports
        etastar.search(problem, trials=4, options=etastar.Options(store=str(Path(folder) / "runs.db")))
    for sampler, name, measured in config["searches"]:
        for round_ in range(config["rounds"]):
            own = problem.but(seed=round_)
            with tempfile.TemporaryDirectory() as folder, isolated_randomness():
                options = etastar.Options(store=str(Path(folder) / "runs.db"))
                space = None if measured else SPACES[name]
                started = time.perf_counter()
                answer = etastar.search(own, sampler=sampler, trials=config["trials"], space=space, options=options)
                ours = time.perf_counter() - started
                assert answer.best is not None
                torch.set_num_threads(threads := faster_threads(problem))
                started = time.perf_counter()
                theirs = by_optuna(own, sampler, SPACES[name], config["trials"], round_)
                optuna_s = time.perf_counter() - started
                torch.set_num_threads(default)
            yield {
                "sampler": sampler,
                "space": name,
                "prior": "measured" if measured else "same range",
                "round": round_,
                "ours_s": ours,
                "optuna_s": optuna_s,
                "ratio": optuna_s / ours,
                "ours_best": answer.best.params,
                "optuna_best": theirs,
                "ours_loss": fresh_loss(own, answer.best.params | {"lr": answer.best.lr}),
                "optuna_loss": fresh_loss(own, theirs),
                "ours_steps": answer.cost["gradient_steps"],
                "optuna_threads": threads,
                "engine": answer.engine_choice.sentence(),
                "load": os.getloadavg()[0],
            }
