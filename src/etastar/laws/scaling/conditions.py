"""Where a law holds: each condition says why it does not for a target, or nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Sizes = Mapping[str, float]
"""name -> size, e.g. {"depth": 8, "width": 512}."""
Condition = Callable[[Sizes, Sequence[Sizes]], str | None]
"""(target, sizes measured) -> why the law does not hold there, or None."""
REACH = 4.0
"""A law speaks up to this factor beyond the sizes it was fitted to."""
WIDTH_PER_DEPTH = 16
FEWEST_LAYERS = 4


@dataclass(frozen=True)
class Within:
    """The product of `columns` lies within a `factor` of the sizes measured.

    Args:
        columns: whose product is looked at.
        factor: allowed beyond the largest and below the smallest.

    >>> Within(("width",))({"width": 512}, [{"width": 64}, {"width": 128}])
    >>> print(Within(("width",))({"width": 1024}, [{"width": 64}, {"width": 128}]))
    width = 1024 is 8 x beyond the largest measured (128) and the law speaks up to 4 x; measure a member closer to it
    """

    columns: tuple[str, ...]
    factor: float = REACH

    def __call__(self, target: Sizes, measured: Sequence[Sizes]) -> str | None:
        """The sentence that says why `target` is too far, or None."""
        products = [math.prod(m[c] for c in self.columns) for m in measured]
        size = math.prod(target[c] for c in self.columns)
        low, high = min(products), max(products)
        if low / self.factor * (1 - 1e-9) <= size <= high * self.factor * (1 + 1e-9):
            return None
        where = f"{size / high:.3g} x beyond the largest measured ({high:g})"
        if size < low:
            where = f"{low / size:.3g} x below the smallest measured ({low:g})"
        name = " x ".join(self.columns)
        return f"{name} = {size:g} is {where} and the law speaks up to {self.factor:g} x; measure a member closer to it"


@dataclass(frozen=True)
class WideEnough:
    """width >= `factor` x depth: in narrower networks the seeds' spread outgrows any law, and eta* falls with narrowing."""

    factor: float = WIDTH_PER_DEPTH

    def __call__(self, target: Sizes, measured: Sequence[Sizes]) -> str | None:
        """Why `target` is too narrow, or None."""
        depth, width = target["depth"], target["width"]
        if width >= self.factor * depth:
            return None
        return (
            f"width {width:g} is less than {self.factor:g} x depth {depth:g}: laws in depth and width break down there; "
            f"take a width of at least {self.factor * depth:g}, or measure this size itself"
        )


@dataclass(frozen=True)
class DeepEnough:
    """At least `fewest` hidden layers: networks with fewer lie 2 - 7 x above the line of the deeper ones."""

    fewest: int = FEWEST_LAYERS

    def __call__(self, target: Sizes, measured: Sequence[Sizes]) -> str | None:
        """Why `target` is too shallow, or None."""
        if target["depth"] >= self.fewest:
            return None
        return (
            f"depth {target['depth']:g} is fewer than {self.fewest} hidden layers, which are off the line that deeper ones "
            f"follow; take at least {self.fewest}, or measure this size itself"
        )
