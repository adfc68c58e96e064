"""What the ideal rates vary with: shares of their variance over task, epoch, path, and the seed that is left."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEFT = "seed"
"""What cells differ by that agree in everything else."""


def shares_of_variance(table: Array, factors: Sequence[str]) -> dict[str, float]:
    """omega^2 of every factor and pair of factors of a balanced table; its last axis are repeats of a cell.

        omega^2 = (SS - df x MS_cell) / SS_total,      MS_cell: the variance of repeats within a cell

    SS of a pair is what its cells' means differ beyond the two factors alone. What is left is the seed's; interactions of
    three and more factors are "more". A share that chance alone explains is 0, or slightly below.

    Args:
        table: one axis a factor, and one of at least two repeats.
        factors: names of the axes but the last.

    >>> x = np.array([0.0, 3.0])
    >>> found = shares_of_variance(np.stack([x[:, None] + 0 * x, x[:, None] + 0 * x], -1), ("task", "s"))
    >>> found["task"], found["s"], found["seed"]
    (1.0, 0.0, 0.0)
    """
    total = float(((table - table.mean()) ** 2).sum())
    cells = table.mean(-1)
    repeats = table.shape[-1]
    within = float(((table - cells[..., None]) ** 2).sum())
    noise = within / (cells.size * (repeats - 1))
    if total <= 0:
        return {}
    effects = _effects(cells, factors)
    found = {}
    for names, effect in effects.items():
        size = effect.size
        df = float(np.prod([cells.shape[factors.index(n)] - 1 for n in names]))
        ss = repeats * float((effect**2).sum()) * cells.size / size
        found[" x ".join(names)] = (ss - df * noise) / total
    df_cells = cells.size - 1
    ss_cells = repeats * float(((cells - cells.mean()) ** 2).sum())
    more = (ss_cells - df_cells * noise) / total - sum(found.values())
    return found | {"more": more, LEFT: 1 - (ss_cells - df_cells * noise) / total}


def _effects(cells: Array, factors: Sequence[str]) -> Mapping[tuple[str, ...], Array]:
    """What a level of a factor, or a pair of levels, adds to the mean."""
    axes = {name: i for i, name in enumerate(factors)}
    mean = lambda *kept: cells.mean(tuple(i for n, i in axes.items() if n not in kept), keepdims=True)
    alone = {(n,): mean(n) - cells.mean() for n in factors}
    pairs = {(a, b): mean(a, b) - cells.mean() - alone[a,] - alone[b,] for a, b in itertools.combinations(factors, 2)}
    return {**alone, **pairs}
