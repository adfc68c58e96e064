"""Where eta* lies relative to what the probes say before any training: the numbers that centre its search."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from torch import nn

import etastar
from etastar.core.randomness import isolated_randomness
from etastar.probes.critical_rate import CriticalRate
from etastar.probes.start import starting_point
from etastar.problems import builder
from etastar.problems.digits import digits_mlp, he, mlp
from etastar.problems.optimizers import optimizer_factory

SAMPLES = 128


def with_batchnorm() -> nn.Module:
    layers = [nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 10))


def networks() -> dict[str, etastar.Problem]:
    base = digits_mlp()
    return {
        "mlp 3x64": base,
        "mlp 1x128": digits_mlp(depth=1, width=128),
        "mlp 2x32": digits_mlp(depth=2, width=32),
        "mlp 6x64": digits_mlp(depth=6),
        "mlp 3x64, He": base.but(model=lambda: he(mlp(3, 64))),
        "mlp 3x256, He": base.but(model=lambda: he(mlp(3, 256))),
        "mlp 2x64, BatchNorm": base.but(model=with_batchnorm),
        "mlp 12x64, He": builder("digits-deep-mlp")(),
        "cnn": builder("digits-cnn")(),
        "transformer": builder("digits-transformer")(),
    }


GLANCE = etastar.Precision(half_width=0.5, max_runs=8, min_runs=8, scan_seeds=1)


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per network and optimizer."""
    for (name, base), optimizer in product(networks().items(), config["optimizers"]):
        problem = base.but(optimizer=optimizer_factory(optimizer))
        with isolated_randomness():
            reading = CriticalRate()(starting_point(problem, 0, samples=SAMPLES))
        options = etastar.Options(store=":memory:", workers=1)
        eta_star = etastar.eta_star(problem, precision=GLANCE, options=options).estimate
        yield {
            "network": name,
            "optimizer": optimizer,
            "eta_c": reading.value,
            "eta_star": eta_star.value,
            "log10_ratio": math.log10(eta_star.value / reading.value) if eta_star.value and reading.value else None,
        }
