"""Optimizers that promise to need no rate, each at its authors' settings. Runs in the peers' environment.

They replace the optimizer, so a row stands for (task, schedule, steps): its case is `TASK/any/SCHEDULE/STEPS`. Weights and
batches are those of the curves' scored lanes of the same seed: the comparison is paired.
`python -m benchmarks.bakeoff.lr_free [TASK ...]` appends the rows that are missing.
"""

from __future__ import annotations

import itertools
import logging
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.bakeoff.rows import FOLDER, TRAINED, Rows, key
from benchmarks.bakeoff.tasks import HORIZONS, SCHEDULES, TASKS, make_problem
from benchmarks.bakeoff.work import arguments, in_processes, reason
from etastar.core.batch import Batch, samples_in
from etastar.core.data import stream
from etastar.core.lane import Lane
from etastar.core.numerics import steady_numerics
from etastar.core.objective import loss_and_accuracy
from etastar.core.problem import Problem
from etastar.core.randomness import derive_seed, isolated_randomness
from etastar.core.setup import set_up
from etastar.core.uninformed import uninformed_loss
from etastar.engine.reading import next_batch
from etastar.engine.validation import samples_for
from etastar.policies.policy import Observation

SEEDS = range(20, 23)
"""Those of the curves' scored lanes."""
SHORT_ONLY = ("cnn", "transformer")
"""Tasks trained for 160 steps only, to save time."""
WINDOW, CHANCE = 10, 0.95
RECALIBRATION = 50
"""Batches that BatchNorm sees again at Schedule-Free's averaged weights, as its authors ask."""


@dataclass(frozen=True)
class Method:
    """How an optimizer is built, and what its authors ask for around it.

    Args:
        build: (model) -> the optimizer at its recommended rate, a multiplier of 1 for most.
        schedules: those it is meant to be used with.
        wants_loss: whether `step` is told the loss.
        averages: whether the averaged iterate is the answer.
    """

    build: Callable[[nn.Module], torch.optim.Optimizer]
    schedules: tuple[str, ...] = SCHEDULES
    wants_loss: bool = False
    averages: bool = False


def prodigy(**settings: bool) -> Callable[[nn.Module], torch.optim.Optimizer]:
    def build(model: nn.Module) -> torch.optim.Optimizer:
        from prodigyopt import Prodigy

        return Prodigy(model.parameters(), lr=1.0, **settings)

    return build


def d_adapt_adam(model: nn.Module) -> torch.optim.Optimizer:
    from dadaptation import DAdaptAdam

    return DAdaptAdam(model.parameters(), lr=1.0)


def d_adapt_sgd(model: nn.Module) -> torch.optim.Optimizer:
    from dadaptation import DAdaptSGD

    return DAdaptSGD(model.parameters(), lr=1.0, momentum=0.9)


def schedule_free_adamw(model: nn.Module) -> torch.optim.Optimizer:
    from schedulefree import AdamWScheduleFree

    return AdamWScheduleFree(model.parameters(), lr=2.5e-3)


def schedule_free_sgd(model: nn.Module) -> torch.optim.Optimizer:
    from schedulefree import SGDScheduleFree

    return SGDScheduleFree(model.parameters(), lr=1.0)


def momo_adam(model: nn.Module) -> torch.optim.Optimizer:
    from momo import MomoAdam

    return MomoAdam(model.parameters(), lr=1e-2)


def momo(model: nn.Module) -> torch.optim.Optimizer:
    from momo import Momo

    return Momo(model.parameters(), lr=1.0)


def dog(name: str) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """With the first step its authors suggest: 1e-6 of the weights' norm, 1e-4 under BatchNorm."""

    def build(model: nn.Module) -> torch.optim.Optimizer:
        import dog as package

        return getattr(package, name)(model.parameters(), lr=1.0, reps_rel=1e-4 if has_batchnorm(model) else 1e-6)

    return build


METHODS = {
    "prodigy": Method(prodigy()),
    "prodigy safeguarded": Method(prodigy(safeguard_warmup=True, use_bias_correction=True)),
    "d-adapt adam": Method(d_adapt_adam),
    "d-adapt sgd": Method(d_adapt_sgd),
    "schedule-free adamw": Method(schedule_free_adamw, schedules=("constant",)),
    "schedule-free sgd": Method(schedule_free_sgd, schedules=("constant",)),
    "momo-adam": Method(momo_adam, wants_loss=True),
    "momo": Method(momo, wants_loss=True),
    "dog": Method(dog("DoG"), averages=True),
    "ldog": Method(dog("LDoG"), averages=True),
}


def has_batchnorm(model: nn.Module) -> bool:
    return any(isinstance(module, _BatchNorm) for module in model.modules())


def train(problem: Problem, method: Method, seed: int) -> tuple[nn.Module, list[float]]:
    """The network after `problem.steps` steps (fewer if the loss stops being finite), and its training losses."""
    with closing(stream(problem.parts.batches, seed)) as batches:
        first = next_batch(batches, seed, 0)
        setup = set_up(problem, seed, example=first)
        model, optimizer = setup.model, setup.optimizer
        averager = _averager(model) if method.averages else None
        if hasattr(optimizer, "train"):
            optimizer.train()
        own_rate = torch.tensor(float(optimizer.defaults["lr"]), dtype=torch.float64)
        state, losses = problem.policy.init(own_rate), []
        for step in range(problem.steps):
            rate, state = problem.policy.step(Observation(step), state)
            setup.set_lr(float(rate))
            optimizer.zero_grad()
            loss, _ = loss_and_accuracy(problem, model, first if step == 0 else next_batch(batches, seed, step))
            loss.backward()
            optimizer.step(loss=loss) if method.wants_loss else optimizer.step()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                break
            if averager:
                averager.step()
        if hasattr(optimizer, "eval"):
            optimizer.eval()
            if has_batchnorm(model):
                _recalibrate(model, itertools.islice(batches, RECALIBRATION))
    return averager.averaged_model if averager else model, losses


def _averager(model: nn.Module) -> Any:
    from dog import PolynomialDecayAverager

    return PolynomialDecayAverager(model)


def _recalibrate(model: nn.Module, batches: Iterator[Batch]) -> None:
    with torch.no_grad():
        for batch in batches:
            model(batch[0])


def held_out(problem: Problem, model: nn.Module, batches: Iterator[Batch]) -> tuple[float, float | None]:
    """Mean loss and accuracy over the samples of `batches`, in eval mode."""
    model.eval()
    with torch.no_grad():
        found = [(samples_in(batch) or 1, *loss_and_accuracy(problem, model, batch)) for batch in batches]
    sizes = [size for size, _, _ in found]
    losses = [float(loss) for _, loss, _ in found]
    shares = [float(share) for _, _, share in found if share is not None]
    return statistics.fmean(losses, sizes), statistics.fmean(shares, sizes) if shares else None


def row(unit: tuple[str, str, str, int, int]) -> list[dict[str, Any]]:
    """Train once and measure on the held-out data: on the batches that lanes are measured on, and on all of it."""
    name, task, schedule, steps, seed = unit
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    problem = make_problem(task, "adam", schedule, steps, 1e-3).but(optimizer=METHODS[name].build)
    assert problem.valid_batches is not None
    about = {"case": f"{task}/any/{schedule}/{steps}", "method": name, "seed": seed}
    started = time.perf_counter()
    with isolated_randomness(), steady_numerics():
        try:
            model, losses = train(problem, METHODS[name], derive_seed(0, "bakeoff", seed))
        except Exception as error:
            return [
                {**about, "nats": None, "accuracy": None, "failed": True, "steps": 0, "seconds": 0, "note": reason(error)}
            ]
        seconds = time.perf_counter() - started
        as_lanes = problem.valid_batches.some(samples_for(problem, Lane(1e-3, 0, problem.steps)))
        loss, accuracy = held_out(problem, model, (batch for batch, _ in as_lanes))
        everything, _ = held_out(problem, model, iter([problem.valid]))
        chance = _chance(problem, model)
    finite = math.isfinite(loss)
    end = statistics.fmean(losses[-WINDOW:])
    return [
        {
            **about,
            "nats": TASKS[task].nats(loss) if finite else None,
            "accuracy": accuracy if finite else None,
            "failed": not finite or not end < CHANCE * chance,
            "steps": len(losses),
            "seconds": round(seconds, 3),
            "nats_all": TASKS[task].nats(everything) if math.isfinite(everything) else None,
            "note": "" if finite else "not finite",
        }
    ]


def _chance(problem: Problem, model: nn.Module) -> float:
    """The training loss of the best guess that ignores the inputs."""
    inputs, targets = problem.train
    with torch.no_grad():
        chance = uninformed_loss(problem.loss, model(inputs), [targets])
    assert chance is not None
    return chance


def missing(rows: Rows, tasks: list[str], schedules: list[str], seeds: int, horizons: list[int]) -> list[Any]:
    """Units whose rows are not there: short ones first, then seed by seed, the slowest tasks last."""
    units = [
        (name, task, schedule, steps, seed)
        for steps in horizons
        for seed in SEEDS[:seeds]
        for task in sorted(tasks, key=lambda task: task in SHORT_ONLY)
        for name, method in METHODS.items()
        for schedule in method.schedules
        if schedule in schedules and not (task in SHORT_ONLY and steps != min(HORIZONS))
    ]
    return [u for u in units if key({"case": f"{u[1]}/any/{u[2]}/{u[3]}", "method": u[0], "seed": u[4]}) not in rows]


def main() -> None:
    given = arguments(__doc__, seeds=len(SEEDS))
    rows = Rows(FOLDER / TRAINED)
    units = missing(rows, given.tasks, given.schedules, given.seeds, given.horizons)
    in_processes(row, units, rows, "{0[0]} on {0[1]}/{0[2]}/{0[3]}, seed {0[4]}".format, given.processes)


if __name__ == "__main__":
    main()
