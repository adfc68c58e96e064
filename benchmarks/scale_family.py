"""Held-out members of a family at 2 - 4 x the largest fitted depth x width: what `scale` predicts against what is measured.

Every arm (data, optimizer, rate of the input layer) measures eta* of small and of larger networks with different seeds.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import torch

import etastar
from etastar import Precision, Problem
from etastar.problems.digits import load
from etastar.problems.idx import load_idx_images
from etastar.problems.mlp import mlp_problem

Shape = tuple[int, int]
"""(hidden layers, width)."""
PRECISION = Precision(half_width=0.12, max_runs=36, min_runs=12)
FOLDER = "ETASTAR_FASHION_MNIST"
"""Environment variable: the folder with Fashion-MNIST's IDX files."""


@cache
def data(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return load()[0] if name == "digits" else load_idx_images(Path(os.environ[FOLDER]))


def problem(arm: dict[str, Any], shape: Shape) -> Problem:
    return mlp_problem(
        data(arm["data"]),
        depth=shape[0],
        width=shape[1],
        optimizer=arm["optimizer"],
        input_multiplier=arm["input"],
        batch_size=arm.get("batch_size", 64),
        steps=arm.get("steps", 100),
        accuracy_threshold=0.5,
    )


def measured(arm: dict[str, Any], shape: Shape, seed: int, store: str) -> Any:
    """The `EtaStarAnswer` of one member."""
    options = etastar.Options(store=store, workers=1)
    return etastar.eta_star(problem(arm, shape), precision=PRECISION, seed=seed, options=options)
