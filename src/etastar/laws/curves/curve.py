"""`Curve`: losses of one training, and the learning rate of every update that led to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etastar.arguments import word
from etastar.errors import ProblemError

Array = NDArray[np.float64]
LOSSES = ("validation", "training")
EARLY = 0.06
"""Share of a run left out of fits even where there is no warm-up: first steps follow no power law (own tasks of 500
steps)."""
ANNEALED = 0.5
"""A run was annealed if a loss was measured at this share of its peak rate or below: cosine cut at half is, at a quarter is
not."""
BRIEF = 0.01
"""Share of the updates that shows nothing: trainers log a rate of 0 after the last step of a run at a constant rate."""
ABRUPT = 0.125
"""A drop by half of the peak within this share of the run is abrupt: a linear cooldown over a fifth is, cosine is not."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Losses of one training.

    Args:
        steps: [N], rising: updates made when each loss was measured.
        losses: [N], > 0.
        rates: [T], T >= steps[-1]: the rate of each update, warm-up included.
        kind: which loss: "validation" or "training".
        weights: [N], > 0: how much each loss counts, e.g. batches in its mean; default: alike.
        passes: how often the data had been seen after `steps[-1]` updates; None if it is not known.
        uninformed: loss of knowing nothing; None if it is not known.
        name: of the run.
        shifted: [N]: losses of another kind, brought to the level of the others: a law fits what is left as one offset.

    Raises:
        ProblemError: no losses, other lengths, steps that do not rise, a loss or a rate that cannot be, rates that end
            early.

    >>> curve = Curve([20, 40, 60], [2.0, 1.5, 1.2], [0.05, 0.1] + [0.1] * 58)
    >>> curve.peak, curve.warmup, curve.annealed
    (0.1, 1, False)
    """

    steps: NDArray[np.int64]
    losses: Array
    rates: Array
    kind: str = "validation"
    weights: Array = field(default_factory=lambda: np.zeros(0))
    passes: float | None = None
    uninformed: float | None = None
    name: str = "run"
    shifted: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __init__(
        self,
        steps: ArrayLike,
        losses: ArrayLike,
        rates: ArrayLike,
        kind: str = "validation",
        weights: ArrayLike | None = None,
        passes: float | None = None,
        uninformed: float | None = None,
        name: str = "run",
        shifted: ArrayLike | None = None,
    ) -> None:
        at, y = np.asarray(steps, dtype=np.int64), np.asarray(losses, dtype=np.float64)
        w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
        other = np.zeros(len(y), dtype=bool) if shifted is None else np.asarray(shifted, dtype=bool)
        own = {"steps": at, "losses": y, "rates": checked_rates(rates, name), "kind": kind, "weights": w, "shifted": other}
        for key, value in (own | {"passes": passes, "uninformed": uninformed, "name": name}).items():
            object.__setattr__(self, key, value)
        self._check()

    def _check(self) -> None:
        word("the kind of loss", self.kind, LOSSES)
        where = f"the curve {self.name!r}"
        if len({len(self.steps), len(self.losses), len(self.weights), len(self.shifted)}) > 1 or not len(self.steps):
            lengths = f"{len(self.steps)} steps, {len(self.losses)} losses and {len(self.weights)} weights"
            raise ProblemError(f"{where} has {lengths}; expected as many of each, at least one")
        if (np.diff(self.steps) <= 0).any() or self.steps[0] < 0:
            raise ProblemError(f"{where} has steps that do not rise; sort them, and keep one loss for each step")
        if not (np.isfinite(self.losses) & (self.losses > 0)).all():
            bad = self.losses[~(np.isfinite(self.losses) & (self.losses > 0))][0]
            raise ProblemError(f"{where} has a loss of {bad:g}; laws of loss curves need finite losses > 0: leave it out")
        if not (np.isfinite(self.weights) & (self.weights > 0)).all():
            raise ProblemError(f"{where} has a weight that is not > 0; leave that loss out")
        if self.steps[-1] > len(self.rates):
            raise ProblemError(
                f"{where} has a loss at step {self.steps[-1]} and rates of {len(self.rates)} updates; give the rate of each"
            )

    @property
    def peak(self) -> float:
        """The largest rate used until the last loss."""
        return float(self.rates[: max(self.steps[-1], 1)].max())

    @property
    def warmup(self) -> int:
        """Updates before the rate first is at its height."""
        return warmup_of(self.rates)

    @property
    def first(self) -> int:
        """The first step whose loss a law is fitted to: after the warm-up and after the first `EARLY` share of the run."""
        return max(self.warmup, round(EARLY * int(self.steps[-1])))

    @property
    def fitted(self) -> Curve:
        """The losses that a law is fitted to; the rates stay whole.

        Raises:
            ProblemError: none is after the warm-up.
        """
        kept = self.steps >= self.first
        if not kept.any():
            raise ProblemError(
                f"the curve {self.name!r} has no loss after its warm-up of {self.warmup} updates; give one that ran longer"
            )
        return self.at(kept)

    @property
    def lowest(self) -> float:
        """The rate that `BRIEF` of the updates after the warm-up were below, as a share of the peak."""
        after = self.rates[min(self.warmup, self.steps[-1] - 1) : self.steps[-1]]
        return float(np.quantile(after, BRIEF)) / self.peak

    @property
    def annealed(self) -> bool:
        """Whether losses were measured at half of the peak rate or below, after it."""
        return self.lowest <= ANNEALED

    @property
    def constant(self) -> bool:
        """Whether the rate stayed at its peak after the warm-up."""
        return self.lowest > 0.98

    @property
    def abrupt(self) -> bool:
        """Whether the rate once fell by half of its peak within `ABRUPT` of the run."""
        after = self.rates[self.warmup : self.steps[-1]]
        window = max(round(ABRUPT * int(self.steps[-1])), 1)
        return len(after) > 1 and bool((after[:-window] - after[window:] >= ANNEALED * self.peak * (1 - 1e-9)).any())

    @property
    def noise(self) -> float:
        """Relative standard deviation of a loss about its neighbours: 1.48 median |second difference of log loss| / sqrt
        6."""
        logs = np.log(self.losses)
        return 1.4826 * float(np.median(np.abs(np.diff(logs, 2)))) / 6**0.5 if len(logs) > 2 else 0.0

    def at(self, kept: NDArray[np.bool_]) -> Curve:
        """The same run with these losses only."""
        own = {key: getattr(self, key)[kept] for key in ("steps", "losses", "weights", "shifted")}
        return replace(self, **own)

    def until(self, step: int) -> Curve:
        """What was known after `step` updates: losses and rates until then.

        >>> Curve([1, 2, 3], [3.0, 2.0, 1.0], [0.1] * 3).until(2).losses.tolist()
        [3.0, 2.0]
        """
        known = self.at(self.steps <= step)
        passes = None if self.passes is None else self.passes * int(known.steps[-1]) / int(self.steps[-1])
        return replace(known, rates=self.rates[:step], passes=passes)


def checked_rates(rates: ArrayLike, name: str = "schedule") -> Array:
    """Rates as an array.

    Raises:
        ProblemError: there are none, one is negative or not finite, or all are zero.
    """
    found = np.asarray(rates, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise ProblemError(f"the rates of {name!r} are no list of finite numbers >= 0, one for each update; give them so")
    return found


def warmup_of(rates: Array) -> int:
    """Updates before the rate is first as large as it gets until it first falls; 0 where it does not rise at first.

    >>> warmup_of(np.array([0.1, 0.1, 0.3, 0.3, 0.2])), warmup_of(np.array([0.3, 0.2, 0.3]))
    (2, 0)
    """
    falls = np.flatnonzero(np.diff(rates) < 0)
    return int(np.argmax(rates[: falls[0] + 1] if len(falls) else rates))
