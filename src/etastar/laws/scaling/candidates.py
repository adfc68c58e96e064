"""The forms a scaling law may take: which sizes enter, and which exponents theory gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from etastar.laws.scaling.conditions import Sizes

SHAPE = ("depth", "width")
UNFITTED_WIDTH = {"cross-entropy": -0.5, "squared": -1.0}
"""loss -> exponent of width for SGD's largest stable rate (Haas et al. 2025, arXiv 2505.22491)."""
UNFITTED_DEPTH = -1.5
"""Exponent of depth for SGD (Jelassi et al. 2023, arXiv 2305.07810)."""
HORIZON = -0.5
LIMITS: dict[str, tuple[dict[str, float], str]] = {
    "sgd": ({"depth": 1.0, "width": 1.0}, "with which lambda1 grows layer by layer"),
    "adam": ({"depth": 3.0, "width": 1.0}, "which rules in deep networks"),
}
"""optimizer -> (sizes of the second limit with their exponents, what it is): rate <= constant / product of powers.

SGD: lambda1 at initialisation is a sum over layers, linear in depth x width, beside parts that do not grow. Adam:
measured, not derived (docs/adr/0019). Depth weighs more than in what one step changes, depth x width; a plausible cause:
representations of different inputs draw together with depth, 1 - cos -> 9 pi^2 / (2 depth^2) for ReLU (Hayou et al. 2019,
arXiv 1902.06853), and a step of one size for every weight moves first what all inputs share.
"""


@dataclass(frozen=True)
class Column:
    """A number computed from sizes, and its exponent where that is not fitted."""

    name: str
    of: Callable[[Sizes], float]
    exponent: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One form.

    Args:
        name: short.
        why: where it comes from, in one sentence.
        columns: what enters as a power; none: the same rate for all sizes.
        limit: divides the rate by 1 + limit / K, K fitted: a second limit, which rules where it is large.
    """

    name: str
    why: str
    columns: tuple[Column, ...]
    limit: Column | None = None

    @property
    def fitted(self) -> int:
        """Numbers that are fitted, the constant included."""
        return 1 + sum(c.exponent is None for c in self.columns) + (self.limit is not None)


def candidates(
    varied: Sequence[str],
    *,
    loss: str = "cross-entropy",
    optimizer: str = "sgd",
    noise_scale: float | None = None,
    path_sum: Callable[[Sizes], float] | None = None,
) -> list[Candidate]:
    """Every form for a family in which `varied` sizes change.

    Args:
        varied: names; depth, width, steps and batch_size are known, others get a fitted exponent.
        loss: "cross-entropy", "squared" or "other".
        optimizer: "sgd", "adam" or "other".
        noise_scale: B_noise in samples, for batch_size.
        path_sum: sizes -> sum over the graph's input-output paths of L_p^3, for branched networks.

    >>> [c.name for c in candidates(["depth", "width"])]
    ['constant', 'product', 'separate', 'depth alone', 'unfitted', 'two limits', 'first step']
    """
    shapes = _shapes([name for name in SHAPE if name in varied], loss, optimizer, path_sum)
    extras = [_extra(name, optimizer, noise_scale) for name in varied if name not in SHAPE]
    found = [shape if not chosen else _joined([shape, *chosen]) for shape in shapes for chosen in product(*extras)]
    constant = shapes[0]
    return found if constant in found else [constant, *found]


def _joined(parts: Sequence[Candidate]) -> Candidate:
    """One form of several; the constant is left out where something else is said."""
    said = [part for part in parts if part.columns or part.limit] or list(parts[:1])
    return Candidate(
        ", ".join(part.name for part in said),
        "; ".join(part.why for part in said),
        tuple(column for part in said for column in part.columns),
        next((part.limit for part in said if part.limit), None),
    )


def _column(name: str, exponent: float | None = None) -> Column:
    return Column(name, lambda sizes: float(sizes[name]), exponent)


def _shapes(varied: Sequence[str], loss: str, optimizer: str, path_sum: Callable[[Sizes], float] | None) -> list[Candidate]:
    found = [Candidate("constant", "the same rate for all sizes", ())]
    if not varied:
        return found
    if len(varied) == 2:
        both = Column("depth x width", lambda sizes: float(sizes["depth"] * sizes["width"]))
        found += [
            Candidate("product", "a power of depth x width (Iyer et al. 2023)", (both,)),
            Candidate("separate", "a power of depth and one of width", (_column("depth"), _column("width"))),
            Candidate("depth alone", "a power of depth", (_column("depth"),)),
        ]
    else:
        found.append(Candidate("power", f"a power of {varied[0]}", (_column(varied[0]),)))
    width = UNFITTED_WIDTH.get(loss)
    if optimizer == "sgd" and width is not None:
        given = {"depth": UNFITTED_DEPTH, "width": width}
        text = " ".join(f"{name}^{given[name]:g}" for name in varied)
        found.append(
            Candidate("unfitted", f"{text}, {loss} (Jelassi 2023, Haas 2025)", tuple(_column(n, given[n]) for n in varied))
        )
    if optimizer in LIMITS and path_sum is None:
        exponents, why = LIMITS[optimizer]
        limit = _limit({name: exponents[name] for name in varied})
        why = f"one limit is the same for all sizes, the other inverse to {limit.name}, {why}"
        found.append(Candidate("two limits", why, (), limit))
    if path_sum is not None:
        column = Column("path sum", path_sum, -0.5)
        found.append(Candidate("path sum", "(sum over paths of L_p^3)^-1/2 (Chen et al. 2024)", (column,)))
    elif "depth" in varied and optimizer == "sgd" and len(varied) == 2:
        why = "depth^-1.5, any width: the change of one step is bounded (Jelassi et al. 2023)"
        found.append(Candidate("first step", why, (_column("depth", UNFITTED_DEPTH),)))
    return found


def _limit(exponents: Mapping[str, float]) -> Column:
    name = " x ".join(size if exponent == 1 else f"{size}^{exponent:g}" for size, exponent in exponents.items())
    return Column(name, lambda sizes: math.prod(float(sizes[size]) ** exponent for size, exponent in exponents.items()))


def _extra(name: str, optimizer: str, noise_scale: float | None) -> list[Candidate]:
    """The forms in which a size beside depth and width may enter."""
    fitted = Candidate(name, f"a power of {name}", (_column(name),))
    if name == "steps":
        return [Candidate("steps^-1/2", "horizon^-1/2", (_column(name, HORIZON),)), fitted]
    if name == "batch_size" and noise_scale is not None:
        gain = Column(
            "batch gain", lambda sizes: 1 / (1 + noise_scale / sizes["batch_size"]), 0.5 if optimizer == "adam" else 1.0
        )
        why = f"1 / (1 + B_noise / batch), B_noise = {noise_scale:.3g} (McCandlish et al. 2018)"
        return [Candidate("noise scale", why, (gain,)), fitted]
    return [fitted]
