"""`BestRate`: which rate trains best at a horizon, and what the lanes said of it."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from etastar.core.estimate import Estimate, Status
from etastar.core.lane import LaneStatus, Outcome, quantise
from etastar.designs.best_rate.climb import FAILED, Climb

ZERO = 1e-12
"""A loss below this share of the first one counts as so much: some losses reach 0, whose logarithm is no number."""
PLATEAU_NATS, PLATEAU_SHARE = 0.05, 0.01
"""The plateau: rates whose loss is within 0.05 nats, or 1 %, of the best."""


class RungPoint(NamedTuple):
    """A rate, its score, and the mean loss over the seeds; no loss where a lane failed."""

    lr: float
    score: float
    loss: float | None


class Share(NamedTuple):
    """So many lanes, of so many, that trained."""

    trained: int
    lanes: int


@dataclass(frozen=True)
class RungResult:
    """What the lanes of one length said.

    Args:
        steps: their length.
        points: in order of the rate, each read off the same lanes; the score is that of `Scale`.
        best: rate at the vertex, at this length; None if no lane learned anything.
        bracketed: whether the best rate lies between two worse ones.
    """

    steps: int
    points: tuple[RungPoint, ...]
    best: float | None
    bracketed: bool


@dataclass(frozen=True)
class BestRate:
    """The answer to "which rate is best for this optimizer, schedule and horizon?".

    Args:
        lr: the recommended rate with the interval of the optimum.
        plateau: (low, high) rates expected within 0.05 nats or 1 % of the best, and, where lanes of the full length say it,
            within 10 %; None if unknown.
        reliability: (lanes that trained, lanes) at the rates next to the best of the last rung.
        rungs: what each length said, the last one decides.
        scored_on: "validation loss" or "training loss".
        full_runs: gradient steps spent / horizon, without validation.
    """

    TOLD: ClassVar = ("scored_on", "full_runs", "reliability", "rungs")
    """The estimate and the plateau stand at the top of an answer."""

    lr: Estimate
    plateau: tuple[float, float] | None
    reliability: Share
    rungs: tuple[RungResult, ...]
    scored_on: str
    full_runs: float

    def loss_ratio(self, lr: float) -> float | None:
        """Expected loss at `lr` / loss at the best, from the last rung's lanes moved to the horizon; None if not covered.

        Between two lanes the logarithm of the loss is a straight line; a failed lane is no end of one. None for losses that
        are not positive, too: their ratio says nothing.
        """
        rung = next((r for r in reversed(self.rungs) if r.best is not None), None)
        if not self.lr.ok or rung is None or rung.best is None:
            return None
        x = math.log10(lr * rung.best / self.lr.require())
        known = [(math.log10(rate), loss) for rate, _, loss in rung.points if loss is not None]
        best = min(loss for _, loss in known)
        if best <= 0:
            return None
        for (x0, a), (x1, b) in itertools.pairwise(known):
            if x0 - 1e-9 <= x <= x1 + 1e-9:
                return a / best * (b / a) ** ((x - x0) / (x1 - x0))
        return None


@dataclass(frozen=True)
class Scale:
    """What a loss counts as, one scale for all lanes that are compared; at most `FAILED`, the score of lanes that failed.

        score = log(loss / first loss);    (loss - first loss) / unit  where a loss is negative or starts at 0 or below.

    A logarithm for some lanes and a difference for others would put a lane that ends below zero behind one that ends just
    above it.

    Args:
        unit: the largest first loss or fall of the loss among the lanes; None for the logarithm.
    """

    unit: float | None = None

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Scale:
        """The scale on which these lanes can be compared."""
        known = [(loss, o.start_loss) for o in outcomes if (loss := o.scored_loss) is not None]
        if all(loss >= 0 and first > 0 for loss, first in known):
            return cls()
        return cls(max(max(abs(first), first - loss) for loss, first in known) or 1.0)

    def score(self, outcome: Outcome) -> float:
        """That of one lane."""
        loss, first = outcome.scored_loss, outcome.start_loss
        if loss is None:
            return FAILED
        change = math.log(max(loss / first, ZERO)) if self.unit is None else (loss - first) / self.unit
        return min(change, FAILED)


def plateau_bar(outcomes: Iterable[Outcome]) -> float | None:
    """By how much a score may lie above the best within the plateau; None where losses are not positive."""
    losses = [o.scored_loss for o in outcomes if o.scored_loss is not None]
    if not losses or min(losses) <= 0:
        return None
    return math.log1p(max(PLATEAU_NATS / min(losses), PLATEAU_SHARE))


def rung_result(steps: int, climb: Climb, outcomes: Iterable[Outcome]) -> RungResult:
    """What `climb` found; a rate and its loss come from the same `outcomes`, whatever order they were asked for in."""
    by_rate: dict[float, list[Outcome]] = {}
    for outcome in outcomes:
        by_rate.setdefault(outcome.lane.lr, []).append(outcome)
    points = tuple(RungPoint(lr, z, _mean_loss(by_rate[lr])) for x, z in climb.scores.items() for lr in [quantise(10**x)])
    return RungResult(steps, points, 10 ** climb.vertex() if climb.learned else None, climb.bracketed)


def _mean_loss(outcomes: Sequence[Outcome]) -> float | None:
    losses = [o.scored_loss for o in outcomes if o.scored_loss is not None]
    return statistics.fmean(losses) if len(losses) == len(outcomes) else None


def no_progress(outcomes: Sequence[Outcome]) -> tuple[Status, str]:
    """Why lanes that got nowhere carry no rate: they failed, nothing depends on the rate, or it was out of their reach."""
    rates, longest = [o.lane.lr for o in outcomes], max(o.lane.steps for o in outcomes)
    covered = f"rates from {min(rates):.2g} to {max(rates):.2g}"
    losses = [o.scored_loss for o in outcomes]
    if all(loss is None for loss in losses):
        return Status.DIVERGED_EVERYWHERE, f"every lane diverged, at {covered}; check data scale and loss"
    scale = Scale.of(outcomes)
    scores = [scale.score(o) for o in outcomes]
    if len(set(rates)) > 1 and longest > 1 and max(scores) - min(scores) < 1e-9:
        return Status.FLAT, f"the loss is the same at every learning rate ({covered}); check what it reads"
    return Status.NO_PROGRESS, (
        f"no lane at {covered} lowered its loss by a tenth within {longest} steps; begin nearer to the best rate "
        "(start=, or the optimizer's own), or plan more steps"
    )


def trained_near(outcomes: Sequence[Outcome], x: float, within: float) -> Share:
    """The lanes that trained within `within` decades of log10 rate `x`."""
    near = [o for o in outcomes if abs(o.lane.log_lr - x) <= within + 1e-2]
    fell = lambda o: (loss := o.scored_loss) is not None and loss < o.start_loss
    return Share(sum(fell(o) and o.status is not LaneStatus.DEAD for o in near), len(near))
