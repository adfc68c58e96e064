"""Whether measured eta* lies where `predict` expects it, on the networks its multiples were taken from and on others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F

import etastar
from benchmarks.centre import GLANCE, networks
from etastar.problems.digits import digits_mlp, he, mlp
from etastar.problems.optimizers import optimizer_factory


def fitted_on() -> dict[str, etastar.Problem]:
    """The networks whose eta* the multiples were taken from."""
    base = digits_mlp()
    return networks() | {
        "mlp 2x256, He": base.but(model=lambda: he(mlp(2, 256))),
        "mlp 5x128, He": base.but(model=lambda: he(mlp(5, 128))),
        "mlp 8x64, He": base.but(model=lambda: he(mlp(8, 64))),
        "mlp 2x512": base.but(model=lambda: mlp(2, 512)),
    }


def new() -> dict[str, etastar.Problem]:
    """Networks chosen after the multiples."""
    base = digits_mlp()

    def squared(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(outputs, F.one_hot(targets, 10).float())

    return {
        "mlp 3x48": base.but(model=lambda: mlp(3, 48)),
        "mlp 5x80, He": base.but(model=lambda: he(mlp(5, 80))),
        "mlp 3x160": base.but(model=lambda: mlp(3, 160)),
        "mlp 4x192, He": base.but(model=lambda: he(mlp(4, 192))),
        "mlp 10x96, He": base.but(model=lambda: he(mlp(10, 96))),
        "mlp 2x96, He, squared error": base.but(model=lambda: he(mlp(2, 96)), loss=squared),
        "mlp 5x128, He, squared error": base.but(model=lambda: he(mlp(5, 128)), loss=squared),
    }


def rows(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per network and optimizer."""
    for kind, nets in (("fitted on", fitted_on()), ("new", new())):
        for (name, base), optimizer in product(nets.items(), config["optimizers"]):
            problem = base.but(optimizer=optimizer_factory(optimizer))
            said = etastar.predict(problem)
            options = etastar.Options(store=":memory:", workers=1)
            measured = etastar.eta_star(problem, precision=GLANCE, options=options).estimate.value
            e = said.eta_star
            yield {
                "network": name,
                "kind": kind,
                "optimizer": optimizer,
                "start": said.lr.value,
                "start_from": said.start,
                "low": e.low,
                "expected": e.value,
                "high": e.high,
                "eta_star": measured,
                "inside": e.low <= measured <= e.high if measured and e.low and e.high else None,
                "log10_off": math.log10(measured / e.value) if measured and e.value else None,
                "seconds": said.seconds,
            }
