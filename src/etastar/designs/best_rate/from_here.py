"""The best rate for the rest of a training that is under way: lanes branched from where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from etastar.core.lane import Outcome
from etastar.designs.best_rate.best_rate import BestRate, Scale
from etastar.designs.best_rate.carried import GAMMA
from etastar.designs.best_rate.full_length import MOST_SEEDS, SEEDS, FullLength

AHEAD = 1.0
"""A lane from here has learned before it begins: any that ends counts as progress, by so much."""


@dataclass
class FromHere(FullLength):
    """Climb with one order of the data until the best rate is bracketed, then at its neighbours with others. A `Design`.

    Lanes are compared with each other, not with where they begin: late in a training the best of them may end no lower.
    Where lanes are shorter than the rest, the rate is carried over as from short lanes: lr(R) = lr(n) (n / R)^gamma.

    Args:
        rest: steps that are left; None: lanes run all of them.

    >>> from etastar.core.lane import Criterion
    >>> [round(lane.lr, 3) for lane in FromHere(Criterion(), steps=10, start=0.1).ask()]
    [0.056, 0.1, 0.178]
    """

    rest: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._wanted, self._seeds = [(k, 0) for k in (-1, 0, 1)], 1

    def answer(self) -> BestRate:
        """The best rate for all that is left."""
        best, rest = super().answer(), self.rest or self.steps
        best = replace(best, full_runs=best.full_runs * self.steps / rest)
        if rest == self.steps or not best.lr.ok:
            return best
        assert best.lr.low is not None and best.lr.high is not None
        left, value = self.steps / rest, best.lr.require()
        method = best.lr.method.replace("all ", "") + f", carried over to {rest} with gamma = {GAMMA}"
        lr = replace(best.lr, value=value * left**GAMMA, low=best.lr.low * left, method=method)
        plateau = best.plateau and (best.plateau[0] * left**GAMMA, best.plateau[1] * left**GAMMA)
        return replace(best, lr=lr, plateau=plateau)

    def _next(self) -> list[tuple[int, int]]:
        climb = self._climb(range(self._seeds))
        if further := climb.ask():
            wanted = [(self._k(x), seed) for x in further for seed in range(self._seeds)]
            return [pair for pair in wanted if pair not in self._outcomes]
        if not climb.bracketed or self._seeds >= MOST_SEEDS:
            return []
        low, high = self._interval(climb)
        if self._seeds >= SEEDS and (high - low) / 2 <= self.within:
            return []
        self._seeds += 1
        best = self._k(climb.best)
        return [(k, self._seeds - 1) for k in (best - 1, best, best + 1)]

    def _scoring(self) -> Callable[[Outcome], float]:
        lanes = list(self._outcomes.values())
        scale = Scale.of(lanes)
        worst = max((scale.score(o) for o in lanes if o.scored_loss is not None), default=0.0)
        return lambda o: scale.score(o) - (0 if o.scored_loss is None else worst + AHEAD)
