"""The rows: one a seed and arm, and one a seed for where its ends lie."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from typing import Any

from etastar.studies.bench import Bench
from etastar.studies.network_stability.arms import (
    ALL,
    CONST,
    FACTORS,
    HALVES,
    HIGH,
    StabilityArm,
    arms_of,
    decayed,
    shared_by,
)
from etastar.studies.network_stability.looks import ArmLooks, one_step
from etastar.studies.network_stability.networks import halves
from etastar.studies.network_stability.reading import fixed_loss, lambda1, line, tested
from etastar.studies.network_stability.sizes import SIZES, Sizes
from etastar.studies.network_stability.states import Led, States
from etastar.studies.network_stability.walk import Walk, by_tens, led, state_at
from etastar.studies.record import STATES, Row
from etastar.studies.study import Measurement, Setting
from etastar.version import __version__

SMOOTH = ("relu", "gelu")
"""Activations whose slopes of B are compared."""
ENDS = "ends"
"""The row of where const, decayed and averaged weights lie."""
AVERAGE = "average"
DECLARED = 0.99
"""The average that the claims are about."""


def sizes_of(setting: Setting) -> Sizes:
    """Of the problem at this effort."""
    return SIZES[setting.problem][setting.effort]


def plan(setting: Setting) -> list[Measurement]:
    """Arm by arm, so that a study that is cut has what decides first for all seeds; a seed's trunk is its first arm's.

    Where the ends lie comes last: at full size a seed's takes as long as four arms.
    """
    sizes, planned = sizes_of(setting), []
    trained = cache(lambda: halves(setting.problem, setting.data, width=sizes.width, side=sizes.side, bf16=sizes.bf16))
    seeds = range(sizes.seeds)
    key = lambda seed, arm: {"problem": setting.problem, "effort": setting.effort, "seed": seed, "arm": arm}
    for group in sizes.groups:
        for arm in arms_of(sizes, group):
            planned += [Measurement(key(seed, arm.name), partial(_arm, setting, trained, seed, arm)) for seed in seeds]
    if "rates" in sizes.groups and setting.problem == "resnet18":
        for name in SMOOTH:
            arm = f"one step, {name}"
            planned += [Measurement(key(s, arm), partial(_one_step, setting, trained, s, name)) for s in seeds]
    return [*planned, *(Measurement(key(seed, ENDS), partial(_ends, setting, trained, seed)) for seed in seeds)]


def _arm(setting: Setting, trained: Any, index: int, arm: StabilityArm, bench: Bench) -> Row:
    sizes, own, seed = sizes_of(setting), trained(), _seed(setting, index)
    end, looks = sizes.burn + sizes.arm, ArmLooks(own, seed, arm)
    walk = led(
        own,
        seed,
        arm.path,
        _states(setting, bench),
        shared_by(sizes),
        check=bench.check_time,
        read=range(end - sizes.window, end) if arm.averaged else range(0),
        looks=looks.at,
    )
    bench.new_gradient_steps += walk.step - walk.begun
    row: Row = {
        "objective": by_tens(walk.objective),
        **tested(own, walk.net, walk.weights),
        "angle": walk.angle,
        "looks": looks.rows,
        "steps": walk.step,
        "steps_spent": walk.step - walk.begun,
    }
    if arm.averaged:
        row["averaged"] = {str(decay): sum(v) / len(v) for decay, v in walk.averaged.items()}
    last = row["objective"][-1]
    return {**row, "said": f"objective {last:.4f}, {row['steps_spent']} of {walk.step} steps"}


def _ends(setting: Setting, trained: Any, index: int, bench: Bench) -> Row:
    """Losses on fixed batches, lambda1 and straight lines between const, decayed and averaged weights."""
    sizes, own, seed, states = sizes_of(setting), trained(), _seed(setting, index), _states(setting, bench)
    end = sizes.burn + sizes.arm
    net = Walk(own, seed).net
    const = state_at(own, seed, Led(HIGH, end, sizes.burn), states, read=range(end - 1, end))
    low = state_at(own, seed, Led(decayed(sizes), end, sizes.burn), states)
    average = const.averages[DECLARED]
    at = {CONST: const.weights, ALL: low.weights, AVERAGE: average}
    halved = {
        f"{half} {AVERAGE}": {n: (average if own.is_late(n) is (half == "late") else const.weights)[n] for n in average}
        for half in HALVES
    }
    bench.check_time()
    pairs = [(CONST, ALL), (CONST, AVERAGE), (ALL, AVERAGE)]
    sharp = {name: lambda1(own, seed, net, weights, sizes.products) for name, weights in at.items()}
    return {
        "fixed": {name: fixed_loss(own, seed, net, weights) for name, weights in (at | halved).items()},
        "lambda1": {name: value if math.isfinite(value) else None for name, value in sharp.items()},
        "lines": {f"{a} - {b}": line(own, seed, net, at[a], at[b]) for a, b in pairs},
        "tested": {name: tested(own, net, weights) for name, weights in at.items()},
        "said": ", ".join(f"lambda1 of {name} {value:.3g}" for name, value in sharp.items()),
    }


def _one_step(setting: Setting, trained: Any, index: int, activation: str, bench: Bench) -> Row:
    """Slopes from the same weights, of a ResNet with this activation, a fifth of the trunk long trained."""
    sizes, own = sizes_of(setting), trained()
    own = replace(own, network=replace(own.network, activation=activation))
    bench.check_time()
    steps = sizes.burn // 5
    bench.new_gradient_steps += steps + len(FACTORS)
    return {"looks": one_step(own, _seed(setting, index), steps)}


def _seed(setting: Setting, index: int) -> int:
    """A seed whose remainder says which subset it trains on."""
    return setting.seed_of("network stability", index) // 2 * 2 + index % 2


def _states(setting: Setting, bench: Bench) -> States:
    sizes = sizes_of(setting)
    named = (__version__, setting.data.digest, setting.problem, sizes.width, sizes.side, sizes.bf16)
    return States(None if bench.folder is None else bench.folder / STATES, repr(named))
