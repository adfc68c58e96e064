"""Trainings whose truth is known: an engine that answers lanes in microseconds, for tests of whatever asks for lanes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from etastar.core.lane import Lane, LaneStatus, Outcome, Until
from etastar.core.randomness import derive_seed
from etastar.engine.trunks import Stem, stems_of

WHOLE = 2.0**63
"""Seeds lie below this."""


@dataclass(frozen=True)
class Truth:
    """How a lane of rate lr over n steps ends, where everything is known:

        lr_best(n)  = best (horizon / n)^gamma
        loss        = start exp(-depth + curvature d^2),  d = log10(lr / lr_best(n)), times exp(noise z(seed))
        P(trains)   = 1 / (1 + 81^((log10 lr - log10 eta_star) / width)),  drawn for (seed, lr); else the lane diverges

    A loss is at most `start`: rates far below the best learn nothing in n steps.

    Args:
        eta_star: rate at which half of the seeds train.
        width: decades over which the share of them falls from 90 % to 10 %; 0: a sharp edge.
        best: best rate over `horizon` steps.
        horizon, gamma: how it falls with the steps.
        start, depth, curvature: of the loss; d is in decades.
        noise: standard deviation of a seed's log loss.
        valid: whether lanes have a validation loss; the loss otherwise is that of their last batches.

    >>> truth = Truth(eta_star=1.0, best=0.1, horizon=100, width=0.0)
    >>> truth.best_at(400), round(truth.loss(0.1, 100), 4)
    (0.05, 0.5132)
    >>> truth.trains(0.99, seed=0), truth.trains(1.01, seed=0)
    (True, False)
    """

    eta_star: float = 1.0
    width: float = 0.2
    best: float = 0.1
    horizon: int = 100
    gamma: float = 0.5
    start: float = 2.3
    depth: float = 1.5
    curvature: float = 0.8
    noise: float = 0.0
    valid: bool = True

    def best_at(self, steps: int) -> float:
        """The rate with the smallest loss after so many steps."""
        return self.best * (self.horizon / steps) ** self.gamma

    def loss(self, lr: float, steps: int, seed: int = 0) -> float:
        """The loss at the end of a lane that trains."""
        off = math.log10(lr / self.best_at(steps))
        return self.start * math.exp(min(-self.depth + self.curvature * off**2, 0.0) + self.noise * _normal(seed))

    def share(self, lr: float) -> float:
        """The share of seeds that train."""
        off = math.log10(lr / self.eta_star)
        return float(off <= 0) if self.width == 0 else 1 / (1 + 81 ** min(off / self.width, 100.0))

    def trains(self, lr: float, seed: int) -> bool:
        """Whether this seed trains at this rate."""
        return _uniform("trains", seed, repr(lr)) < self.share(lr)


@dataclass
class SyntheticEngine:
    """An `Engine` without a model: lanes end as `truth` says, whatever the problem; what they share is paid for once.

    Args:
        truth: how they end.
        trained: every lane it was given, in order.

    >>> from etastar.core import Until
    >>> engine = SyntheticEngine(Truth(eta_star=1.0))
    >>> [(_, low), (_, high)] = engine.train(None, [Lane(lr, 0, 100, until=Until.END) for lr in (0.1, 100.0)])
    >>> low.status.value, round(low.valid_loss, 3), high.status.value
    ('trained', 0.513, 'diverged')
    """

    truth: Truth = field(default_factory=Truth)
    trained: list[Lane] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the store keeps its lanes under."""
        return "synthetic"

    def train(self, problem: Any, lanes: Sequence[Lane]) -> Iterator[tuple[int, Outcome]]:
        """Yield (index, outcome) in the order of `lanes`."""
        shared = _shared(stems_of(dict(enumerate(lanes))))
        for index, lane in enumerate(lanes):
            self.trained.append(lane)
            outcome = self.outcome(lane)
            yield index, replace(outcome, shared=min(shared.get(index, 0), outcome.steps))

    def outcome(self, lane: Lane) -> Outcome:
        """How this lane ends."""
        truth, start, whole = self.truth, self.truth.start, lane.until is Until.END
        first: dict[str, Any] = {"first_valid_loss" if truth.valid else "first_train_loss": start} if whole else {}
        if not truth.trains(lane.lr, lane.seed):
            return Outcome(lane, LaneStatus.DIVERGED, None, min(5, lane.steps), start, math.inf, **first)
        loss, reached = truth.loss(lane.lr, lane.steps, lane.seed), min(lane.criterion.window, lane.steps)
        scored: dict[str, Any] = first | ({"valid_loss": loss} if whole and truth.valid else {})
        if loss > lane.criterion.bound(start):
            return Outcome(lane, LaneStatus.SLOW, None, lane.steps, start, loss, **scored)
        return Outcome(lane, LaneStatus.TRAINED, reached, lane.steps if whole else reached, start, loss, **scored)


def _shared(stems: Sequence[Stem]) -> dict[int, int]:
    """Steps of a lane that another has paid for: the first of a stem's lanes pays for the stem.

    >>> from etastar.policies.compose import Then, Times
    >>> from etastar.policies.policy import Constant
    >>> arm = lambda at, factor: Lane(0.1, 0, 40, policy=Then(Constant(), at, Times(Constant(), factor)))
    >>> _shared(stems_of({0: arm(20, 0.1), 1: arm(20, 0.5), 2: Lane(0.2, 0, 40)}))
    {1: 20}
    """
    found: dict[int, int] = {}
    for stem in stems:
        found |= dict.fromkeys(stem.members[1:], stem.stop or 0) | _shared(stem.branches)
    return found


def _uniform(*parts: int | str) -> float:
    return derive_seed("synthetic", *parts) / WHOLE


def _normal(seed: int) -> float:
    """Standard normal, by Box and Muller."""
    return math.sqrt(-2 * math.log(1 - _uniform("radius", seed))) * math.cos(2 * math.pi * _uniform("angle", seed))
