"""`BestRate`: which rate trains best at a horizon, and what the lanes said of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from etastar.core.estimate import Estimate
from etastar.core.lane import LaneStatus, Outcome
from etastar.designs.climb import FAILED, Climb

PLATEAU_NATS, PLATEAU_SHARE = 0.05, 0.01
"""The plateau: rates whose loss is within 0.05 nats, or 1 %, of the best."""


@dataclass(frozen=True)
class RungResult:
    """What the lanes of one length said.

    Args:
        steps: their length.
        points: (rate, score, loss) in order of the rate; score = log(loss / loss at the start), at most 0.4; loss is None
            where the lane failed.
        best: rate at the vertex, at this length; None if no lane learned anything.
        bracketed: whether the best rate lies between two worse ones.
    """

    steps: int
    points: tuple[tuple[float, float, float | None], ...]
    best: float | None
    bracketed: bool

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        points = [{"lr": lr, "score": score, "loss": loss} for lr, score, loss in self.points]
        return {"steps": self.steps, "best": self.best, "bracketed": self.bracketed, "points": points}


@dataclass(frozen=True)
class BestRate:
    """The answer to "which rate is best for this optimizer, schedule and horizon?".

    Args:
        lr: the recommended rate with the interval of the optimum.
        plateau: (low, high) rates expected within 0.05 nats or 1 % of the best; None if unknown.
        reliability: (lanes that trained, lanes) at the rates next to the best of the last rung.
        rungs: what each length said, the last one decides.
        scored_on: "validation loss" or "training loss".
        full_runs: gradient steps spent / horizon.
    """

    lr: Estimate
    plateau: tuple[float, float] | None
    reliability: tuple[int, int]
    rungs: tuple[RungResult, ...]
    scored_on: str
    full_runs: float

    def loss_ratio(self, lr: float) -> float | None:
        """Expected loss at `lr` / loss at the best, from the last rung's lanes moved to the horizon; None if not covered.

        Between two lanes the logarithm of the loss is a straight line; a failed lane is no end of one.
        """
        rung = next((r for r in reversed(self.rungs) if r.best is not None), None)
        if not self.lr.ok or rung is None or rung.best is None:
            return None
        x = math.log10(lr * rung.best / self.lr.require())
        known = [(math.log10(rate), score) for rate, score, loss in rung.points if loss is not None]
        best = min(score for _, score in known)
        for (x0, z0), (x1, z1) in itertools.pairwise(known):
            if x0 - 1e-9 <= x <= x1 + 1e-9:
                return math.exp(z0 + (z1 - z0) * (x - x0) / (x1 - x0) - best)
        return None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; the estimate itself stands elsewhere in an answer."""
        trained, lanes = self.reliability
        return {
            "scored_on": self.scored_on,
            "full_runs": self.full_runs,
            "reliability": {"trained": trained, "lanes": lanes},
            "rungs": [rung.to_json() for rung in self.rungs],
        }


def loss_of(outcome: Outcome) -> float | None:
    """The loss a lane is scored on: on the validation data where there is any, else over its last training batches."""
    loss = outcome.end_loss if outcome.valid_loss is None else outcome.valid_loss
    return loss if math.isfinite(loss) and not outcome.broken else None


def score(outcome: Outcome) -> float:
    """log(loss / loss at the start), at most `FAILED`, which is also the score of what diverged or raised.

    Losses that are not positive are scored by their change relative to the start.
    """
    loss, first = loss_of(outcome), outcome.first_loss
    if loss is None:
        return FAILED
    change = math.log(loss / first) if first > 0 and loss > 0 else (loss - first) / max(abs(first), 1e-12)
    return min(change, FAILED)


def plateau_bar(outcomes: Iterable[Outcome]) -> float | None:
    """By how much a score may lie above the best within the plateau; None where losses are not positive."""
    losses = [loss for loss in map(loss_of, outcomes) if loss is not None]
    if not losses or min(losses) <= 0:
        return None
    return math.log1p(max(PLATEAU_NATS / min(losses), PLATEAU_SHARE))


def rung_result(steps: int, climb: Climb, losses: dict[float, float | None]) -> RungResult:
    """What `climb` found; `losses` by log10 rate."""
    points = tuple((10**x, z, losses.get(x)) for x, z in sorted(climb.scores.items()))
    return RungResult(steps, points, 10 ** climb.vertex() if climb.learned else None, climb.bracketed)


def trained_near(outcomes: Sequence[Outcome], x: float, within: float) -> tuple[int, int]:
    """(lanes that trained, lanes) within `within` decades of log10 rate `x`."""
    near = [o for o in outcomes if abs(o.lane.log_lr - x) <= within + 1e-2]
    return sum(score(o) < 0 and o.status is not LaneStatus.DEAD for o in near), len(near)
