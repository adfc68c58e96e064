"""A network in many sizes: `etastar scale examples/mlp_family.py:family --depth 4,8 --width 128,256 --to depth=8,width=512`.

Bias-free ReLU layers with He weights on scikit-learn's digits, or on Fashion-MNIST: --set data=FOLDER with its IDX files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from etastar import Problem
from etastar.problems.digits import load
from etastar.problems.idx import load_idx_images
from etastar.problems.mlp import mlp_problem

RATES = {"sgd": "sgd:lr=0.1", "adam": "adam:lr=0.001"}
"""The rates in use before anything is measured."""


@cache
def samples(data: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of the IDX files in the folder `data`; without one, the digits."""
    return load()[0] if data is None else load_idx_images(Path(data))[0]


def family(
    depth: int = 4,
    width: int = 128,
    optimizer: str = "sgd",
    input_multiplier: float = 0.01,
    batch_size: int = 64,
    steps: int = 100,
    data: str | None = None,
    seed: int = 0,
) -> Problem:
    """`depth` hidden layers of `width`; the input layer at `input_multiplier` x the rate of the others (1: ordinary)."""
    return mlp_problem(
        samples(data),
        depth=depth,
        width=width,
        optimizer=RATES.get(optimizer, optimizer),
        input_multiplier=input_multiplier,
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
