"""Small networks on tables of a few hundred patients: they overfit within hundreds of steps."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, split, standardised

WRONG = 0.2
"""Share of labels drawn anew."""


def _table(name: str, *, classes: bool) -> Splits:
    from sklearn import datasets

    data: Any = getattr(datasets, f"load_{name}")()
    x = standardised(torch.tensor(data.data, dtype=torch.float32))
    if classes:
        return split(x, torch.tensor(data.target, dtype=torch.int64))
    y = torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
    return split(x, standardised(y))


@cache
def cancer() -> Splits:
    """30 measurements of cells, two classes, 569 samples."""
    return _table("breast_cancer", classes=True)


@cache
def doubtful() -> Splits:
    """The same with a fifth of the training labels drawn anew, once."""
    (x, y), valid, test = cancer()
    generator = torch.Generator().manual_seed(1)
    drawn = torch.rand(len(y), generator=generator) < WRONG
    return (x, torch.where(drawn, torch.randint(0, 2, y.shape, generator=generator), y)), valid, test


@cache
def diabetes() -> Splits:
    """10 measurements of patients, a standardised target, 442 samples."""
    return _table("diabetes", classes=False)


TABLES = (
    Family("cancer", "tables", cancer, partial(chain, (30, 32, 2))),
    Family("cancer-wrong", "tables", doubtful, partial(chain, (30, 64, 2))),
    Family("diabetes", "tables", diabetes, partial(chain, (10, 32, 1), nn.Tanh), F.mse_loss),
    Family("diabetes-linear", "tables", diabetes, partial(chain, (10, 1)), F.mse_loss),
)
"""All of them see each sample many times."""
