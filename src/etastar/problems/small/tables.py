"""Small networks on tables of a few hundred patients, wines and flowers: most overfit within hundreds of steps."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from etastar.problems.small.family import Family, Splits, chain, few, mislabelled, split, standardised


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
def diabetes() -> Splits:
    """10 measurements of patients, a standardised target, 442 samples."""
    return _table("diabetes", classes=False)


@cache
def wine() -> Splits:
    """13 measurements of wines, three growers, 178 samples."""
    return _table("wine", classes=True)


@cache
def flowers() -> Splits:
    """4 measurements of irises, three kinds, 150 samples."""
    return _table("iris", classes=True)


FEW = 60
"""Samples of the families that have a part of a table only."""
TABLES = (
    Family("cancer", "tables", cancer, partial(chain, (30, 32, 2)), overfits=True),
    Family("cancer-wrong", "tables", partial(mislabelled, cancer, 2), partial(chain, (30, 64, 2)), overfits=True),
    Family("cancer-few", "tables", partial(few, cancer, FEW), partial(chain, (30, 48, 2)), overfits=True),
    Family("cancer-linear", "tables", cancer, partial(chain, (30, 2))),
    Family("diabetes", "tables", diabetes, partial(chain, (10, 32, 1), nn.Tanh), F.mse_loss, overfits=True),
    Family("diabetes-linear", "tables", diabetes, partial(chain, (10, 1)), F.mse_loss),
    Family("diabetes-few", "tables", partial(few, diabetes, FEW), partial(chain, (10, 64, 1)), F.mse_loss, overfits=True),
    Family("wine", "tables", wine, partial(chain, (13, 32, 3)), batch_size=16),
    Family("wine-wrong", "tables", partial(mislabelled, wine, 3, 0.3), partial(chain, (13, 64, 3)), overfits=True),
    Family("flowers", "tables", flowers, partial(chain, (4, 24, 24, 3), nn.Tanh), batch_size=16),
)
"""All of them see each sample many times."""
