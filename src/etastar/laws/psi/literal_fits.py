"""What a rate promises, fitted to rows of (epoch, loss, rate, what followed): by curve, by symbolic search, by a network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from etastar.arguments import word
from etastar.core.randomness import generator
from etastar.errors import ProblemError
from etastar.laws.psi.literal import Observed
from etastar.policies.psi_argmax import FACTORS, HIDDEN, NETWORK, PsiArgmax, promised, term

Array = NDArray[np.float64]
CURVE = ("1", "s", "e", "a", "s*s", "e*e", "a*a", "s*e", "s*a", "e*a")
"""The curve: all terms of second order."""
VARYING = [name for name in FACTORS if name != "1"]
LIBRARY = tuple("*".join(part) for n in (1, 2, 3) for part in itertools.combinations_with_replacement(VARYING, n))
"""What the symbolic search chooses from: products of up to three factors."""
TERMS = 6
"""Of a formula, beside its constant, at most."""
MOST = 1.0
"""Nats of gain, either way: a lane that broke must not own a fit by squares."""
RIDGE = 1e-3
"""On standardised terms: those that say the same share the weight."""
PASSES, DECAY, RATE = 400, 1e-3, 0.02
"""Of the network: steps of Adam on all rows at once, its weight decay, and its peak rate (linear decay)."""
FEWEST = 60
"""Rows that a fit takes at least: more than the network's numbers."""
KINDS = ("curve", "symbolic", "network")


def fitted(rows: Sequence[Observed], kind: str) -> PsiArgmax:
    """The policy that follows the promise fitted to these rows.

    Raises:
        ProblemError: too few rows, or no such kind.
    """
    word("kind", kind, KINDS)
    if len(rows) < FEWEST:
        raise ProblemError(f"{len(rows)} rows were logged; a promise is fitted to {FEWEST} or more: log more runs")
    if kind == "network":
        return PsiArgmax((), _rounded(_network(rows)))
    terms = CURVE if kind == "curve" else ("1", *searched(rows))
    return PsiArgmax(terms, _rounded(_least_squares(_columns(terms, rows), _gains(rows))))


def error_of(policy: PsiArgmax, rows: Sequence[Observed]) -> float:
    """Share of the variance of what followed that the promise misses: 1 where it knows no more than the mean."""
    s, e, a = _states(rows)
    said = promised(policy.terms, torch.tensor(policy.numbers, dtype=torch.float64), s, e, a).numpy()
    gains = _gains(rows)
    return float(np.mean((gains - said) ** 2) / np.var(gains))


def searched(rows: Sequence[Observed]) -> tuple[str, ...]:
    """The terms of a short formula: one after the other, the one that helps most on groups it was not fitted to."""
    columns = dict(zip(LIBRARY, _columns(LIBRARY, rows).T, strict=True))
    gains, groups = _gains(rows), np.array([row.group for row in rows])
    chosen: list[str] = []
    best = _left_out([], columns, gains, groups)
    while len(chosen) < TERMS:
        errors = {text: _left_out([*chosen, text], columns, gains, groups) for text in LIBRARY if text not in chosen}
        text = min(errors, key=lambda t: (errors[t], t))
        if not errors[text] < best:
            break
        best = errors[text]
        chosen.append(text)
    return tuple(chosen)


def _left_out(terms: Sequence[str], columns: dict[str, Array], gains: Array, groups: NDArray[np.str_]) -> float:
    """Mean square on every group, fitted to the others; on the rows themselves where there is one group."""
    table = np.column_stack([np.ones(len(gains)), *(columns[text] for text in terms)])
    names, total = sorted(set(groups)), 0.0
    for name in names:
        own = groups == name
        weights = _least_squares(table[~own], gains[~own]) if len(names) > 1 else _least_squares(table, gains)
        total += float(np.sum((gains[own] - table[own] @ weights) ** 2))
    return total / len(gains)


def _least_squares(table: Array, gains: Array) -> Array:
    """Weights of the columns, the first of which is the constant, with a ridge on the others in units of their spread."""
    centre, scale = table[:, 1:].mean(0), np.maximum(table[:, 1:].std(0), 1e-12)
    x = (table[:, 1:] - centre) / scale
    inner = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (gains - gains.mean())) / scale
    return np.concatenate([[gains.mean() - centre @ inner], inner])


def _network(rows: Sequence[Observed]) -> Array:
    """The numbers of a network trained on all rows."""
    states, gains = _states(rows), torch.tensor(_gains(rows), dtype=torch.float64)
    start = torch.randn(NETWORK, generator=generator("literal", "network"), dtype=torch.float64)
    start[4 * HIDDEN :] /= math.sqrt(HIDDEN)
    numbers = start.requires_grad_()
    optimizer = torch.optim.AdamW([numbers], lr=RATE, weight_decay=DECAY)
    for step in range(PASSES):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / PASSES)
        optimizer.zero_grad()
        (promised((), numbers, *states) - gains).square().mean().backward()
        optimizer.step()
    return np.asarray(numbers.detach())


def _columns(terms: Sequence[str], rows: Sequence[Observed]) -> Array:
    s, e, a = _states(rows)
    return np.column_stack([term(text, s, e, a).numpy() for text in terms])


def _states(rows: Sequence[Observed]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tensor = lambda values: torch.tensor(values, dtype=torch.float64)
    return tensor([r.s for r in rows]), tensor([r.e for r in rows]), tensor([r.a for r in rows])


def _gains(rows: Sequence[Observed]) -> Array:
    return np.clip([row.gain for row in rows], -MOST, MOST)


def _rounded(numbers: Array) -> tuple[float, ...]:
    return tuple(round(float(v), 5) for v in numbers)
