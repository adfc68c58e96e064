"""The forms a scaling law may take: which sizes enter, and which exponents theory gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from etastar.laws.conditions import Sizes

SHAPE = ("depth", "width")
UNFITTED_WIDTH = {"cross-entropy": -0.5, "squared": -1.0}
"""loss -> exponent of width for SGD's largest stable rate (Haas et al. 2025, arXiv 2505.22491)."""
UNFITTED_DEPTH = -1.5
"""Exponent of depth for SGD (Jelassi et al. 2023, arXiv 2305.07810)."""
HORIZON = -0.5


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
        columns: what enters; none: the same rate for all sizes.
    """

    name: str
    why: str
    columns: tuple[Column, ...]

    @property
    def fitted(self) -> int:
        """Numbers that are fitted, the constant included."""
        return 1 + sum(c.exponent is None for c in self.columns)


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
    ['constant', 'product', 'separate', 'depth alone', 'unfitted', 'first step']
    """
    shapes = _shapes([name for name in SHAPE if name in varied], loss, optimizer, path_sum)
    extras = [_extra(name, optimizer, noise_scale) for name in varied if name not in SHAPE]
    found = [shape if not chosen else _joined([shape, *chosen]) for shape in shapes for chosen in product(*extras)]
    constant = shapes[0]
    return found if constant in found else [constant, *found]


def _joined(parts: Sequence[Candidate]) -> Candidate:
    """One form of several; the constant is left out where something else is said."""
    said = [part for part in parts if part.columns] or list(parts[:1])
    return Candidate(
        ", ".join(part.name for part in said),
        "; ".join(part.why for part in said),
        tuple(column for part in said for column in part.columns),
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
    if path_sum is not None:
        column = Column("path sum", path_sum, -0.5)
        found.append(Candidate("path sum", "(sum over paths of L_p^3)^-1/2 (Chen et al. 2024)", (column,)))
    elif "depth" in varied and optimizer == "sgd" and len(varied) == 2:
        why = "depth^-1.5, any width: the change of one step is bounded (Jelassi et al. 2023)"
        found.append(Candidate("first step", why, (_column("depth", UNFITTED_DEPTH),)))
    return found


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
