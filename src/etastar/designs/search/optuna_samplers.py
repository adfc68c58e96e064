"""Optuna's samplers and pruners by name, set up for batches of trials told together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from etastar.designs.search.search_space import Parameter, Space
from etastar.errors import ProblemError

SAMPLERS = ("grid", "random", "genetic", "tpe", "cmaes", "gp")
PRUNERS = ("none", "median", "hyperband")
RUNGS: dict[str, tuple[int, ...]] = {"none": (), "median": (4,), "hyperband": (9, 3)}
"""pruner -> divisors of the steps after which it decides."""
FEWEST_STEPS = 2
"""Steps of the shortest rung."""
REDUCTION = 3
ADAPTIVE_BATCH = 16
RANDOM_BATCH = 32
SECOND = "unused"
"""A dimension nothing depends on: Optuna's CMA-ES needs two."""


@dataclass(frozen=True)
class SamplerSetting:
    """What a sampler is made from.

    Args:
        batch: trials asked together.
        seed: of its draws.
        start: parameters to start around, where the sampler can; may be empty.
    """

    space: Space
    batch: int
    seed: int
    start: Mapping[str, Any]


def distribution(optuna: ModuleType, p: Parameter) -> Any:
    """Optuna's distribution of a parameter."""
    if p.choices is not None:
        return optuna.distributions.CategoricalDistribution(p.choices)
    kind = optuna.distributions.IntDistribution if p.integer else optuna.distributions.FloatDistribution
    return kind(p.low, p.high, log=p.log)


def usual_batch(sampler: str, trials: int, pruner: str = "none") -> int:
    """Trials asked together unless told otherwise: all of a grid; a quarter of the trials, at most 16, where they teach.

    >>> [usual_batch(name, 64) for name in ("grid", "random", "tpe")]
    [64, 32, 16]
    """
    if pruner == "none" and sampler == "grid":
        return trials
    if pruner == "none" and sampler == "random":
        return min(max(trials // 2, 1), RANDOM_BATCH)
    return min(max(trials // 4, 2), ADAPTIVE_BATCH)


def _random(optuna: ModuleType, setting: SamplerSetting) -> Any:
    return optuna.samplers.RandomSampler(seed=setting.seed)


def _genetic(optuna: ModuleType, setting: SamplerSetting) -> Any:
    """Its single-objective use: with one value, non-dominated sorting is sorting, and the better half are the parents.

    A generation is a batch. Blending (BLX-alpha) and small mutations: crossover by swapping, the default, could only pass on
    rates that were tried before, and the default mutation of a single parameter draws it anew each time.
    """
    samplers = optuna.samplers.nsgaii
    return optuna.samplers.NSGAIISampler(
        population_size=max(setting.batch, 2),
        crossover=samplers.BLXAlphaCrossover(),
        mutation=samplers.PolynomialMutation(eta=10.0),
        seed=setting.seed,
    )


def _tpe(optuna: ModuleType, setting: SamplerSetting) -> Any:
    startup = min(10, setting.batch)
    return optuna.samplers.TPESampler(n_startup_trials=startup, constant_liar=True, seed=setting.seed)


def _cmaes(optuna: ModuleType, setting: SamplerSetting) -> Any:
    numbers = [p for p in setting.space if p.choices is None]
    around = {p.name: setting.start.get(p.name) for p in numbers}
    x0 = None
    if numbers and all(value is not None and p.contains(value) for p, value in zip(numbers, around.values(), strict=True)):
        x0 = around | ({SECOND: 0.5} if needs_second(setting.space) else {})
    return optuna.samplers.CmaEsSampler(
        x0=x0, popsize=max(setting.batch, 4), warn_independent_sampling=False, seed=setting.seed % 2**31
    )


def _gp(optuna: ModuleType, setting: SamplerSetting) -> Any:
    return optuna.samplers.GPSampler(
        n_startup_trials=min(10, setting.batch), seed=setting.seed, warn_independent_sampling=False
    )


_MAKERS: dict[str, Callable[[ModuleType, SamplerSetting], Any]] = {
    "grid": _random,
    "random": _random,
    "genetic": _genetic,
    "tpe": _tpe,
    "cmaes": _cmaes,
    "gp": _gp,
}


def make_sampler(optuna: ModuleType, name: str, setting: SamplerSetting) -> Any:
    """Optuna's sampler; a grid is enqueued point by point (`grid`), because GridSampler cannot be asked and told."""
    return _MAKERS[name](optuna, setting)


def needs_second(space: Space) -> bool:
    """Whether there is but one number, too few for Optuna's CMA-ES."""
    return sum(p.choices is None for p in space) == 1


def grid(space: Space, trials: int) -> list[dict[str, Any]]:
    """At most `trials` points of a full grid; numbers get equally many values each.

    Raises:
        ProblemError: the choices alone make more points than there are trials.

    >>> len(grid(Space.of({"lr": {"low": 0.1, "high": 1.0}, "schedule": {"choices": ["constant", "wsd"]}}), 9))
    8
    """
    numbers = [p for p in space if p.choices is None]
    fixed = math.prod(len(p.choices) for p in space if p.choices is not None)
    least = fixed * 2 ** len(numbers)
    if trials < (fixed if not numbers else least):
        raise ProblemError(f"a grid over this space has at least {least} points but trials is {trials}; raise --trials")
    points = max(round((trials / fixed) ** (1 / len(numbers))), 1) + 1 if numbers else 1
    while numbers and fixed * points ** len(numbers) > trials:
        points -= 1
    found: list[dict[str, Any]] = [{}]
    for p in space:
        found = [{**point, p.name: value} for point in found for value in p.grid(points)]
    return found


def rungs(pruner: str, steps: int) -> tuple[int, ...]:
    """Steps of the trainings a trial goes through, the last one full.

    Raises:
        ProblemError: there are too few steps to prune on.

    >>> rungs("hyperband", 400)
    (44, 132, 400)
    """
    divisors = RUNGS[pruner]
    if not divisors:
        return (steps,)
    shortest = steps // divisors[0]
    if shortest < FEWEST_STEPS:
        need = FEWEST_STEPS * divisors[0]
        raise ProblemError(f"pruner {pruner!r} needs at least {need} steps to decide on, got {steps}; use --pruner none")
    return (*(shortest * (divisors[0] // divisor) for divisor in divisors), steps)


def make_pruner(optuna: ModuleType, name: str, steps: int, batch: int) -> Any:
    """Optuna's pruner, told values at the steps of `rungs`."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=min(batch, 5))
    if name == "hyperband":
        shortest = rungs(name, steps)[0]
        most = shortest * RUNGS[name][0]
        return optuna.pruners.HyperbandPruner(min_resource=shortest, max_resource=most, reduction_factor=REDUCTION)
    return optuna.pruners.NopPruner()
