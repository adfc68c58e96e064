"""The best rate for a few per cent of one training: one rung of short lanes, weighed with what is known of other tasks.

Lanes of n of T steps say where the best rate lies at n. How far it moves until T is not theirs to say: it is a random effect
of the task (`RatePrior`), and the further n lies from T the less the lanes count. Where they would add nothing there is no
answer but the prior, and it is called so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from etastar.core.design import Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs
from etastar.designs.best_rate.best_lr import BestLR, Rung
from etastar.designs.best_rate.best_rate import BestRate, RungResult
from etastar.designs.best_rate.carried import GAMMA
from etastar.designs.best_rate.rate_prior import Belief, BestSeen, RatePrior
from etastar.designs.best_rate.rate_priors import UNKNOWN_SD
from etastar.errors import ProblemError
from etastar.policies.policy import Constant, Policy

SHORTEST = 20
"""Steps of a lane at least. In the record five lanes of 20 steps gain on the prior where two of 50 cannot."""
LANES, SPACING = 5, 0.5
"""Lanes that a budget is cut into, and decades between them."""
FEWEST = 3
"""Lanes without which no rate lies between two worse ones."""
ERROR, OPEN_ERROR = 0.25, 0.5
"""Standard error, in decades, of the vertex of a rung: bracketed, and not."""
QUANTILE = 1.895
"""Student's t of 90 % for the eight tasks that the prior was learnt from, less one."""
UNDECIDED = 0.9
"""A reading that leaves more than this share of the prior's standard deviation has not decided anything."""


def rung_of(budget: int, steps: int) -> Rung:
    """The lanes that `budget` gradient steps buy of a training of `steps` steps.

    Raises:
        ProblemError: not even one.

    >>> rung_of(500, 10_000)
    Rung(steps=100, spacing=0.5, lanes=5)
    """
    shortest = min(SHORTEST, steps)
    if budget < shortest:
        raise ProblemError(
            f"the budget is {budget} gradient steps, which buy no lane of {shortest}; expected "
            f"{FEWEST * shortest} or more for three of them, {FEWEST * shortest / steps:.2g} of this training"
        )
    each = min(max(budget // LANES, shortest), steps)
    return Rung(each, SPACING, min(budget // each, LANES))


def reading_of(rung: RungResult) -> BestSeen | None:
    """What a rung says of the best rate at its length; None where no lane learned anything, or they are too few."""
    if rung.best is None or len(rung.points) < FEWEST:
        return None
    return BestSeen(math.log10(rung.best), rung.steps, ERROR if rung.bracketed else OPEN_ERROR)


def believed(prior: RatePrior, steps: int, readings: Sequence[BestSeen]) -> Belief:
    """The best rate at a horizon, given what lanes read: its mean as if the level were unknown, its doubt as fitted.

    Tasks lie further from the level than a Gaussian has them (in the record .9 decades, where their likeliest spread is .7),
    and one that lies far off would be drawn back from what its own lanes say. The doubt is that of moving on, which the fit
    has right: so the interval holds the best rate in 88 of 96 answers, as it did, and has the best Winkler score of three
    ways to weigh. At 200 and 800 steps a glance gains nothing.

    >>> prior = RatePrior(level=-2.0, gamma=0.0, level_sd=0.5, gamma_sd=0.0, scatter=0.0)
    >>> believed(prior, 1000, [BestSeen(x=-1.0, steps=1000, error=1.0)]).mean
    -1.5
    """
    loose = replace(prior, level_sd=max(prior.level_sd, UNKNOWN_SD))
    return Belief(loose.at(steps, readings).mean, prior.at(steps, readings).sd)


def weighed(short: BestRate, prior: RatePrior, steps: int) -> BestRate:
    """The answer of short lanes, given what other tasks say: their last rung is a reading of the prior's line.

    Args:
        short: what `BestLR` found, however far its lanes were from `steps`.
    """
    reading = next((r for rung in reversed(short.rungs) if (r := reading_of(rung))), None)
    if reading is None or not short.lr.ok:
        return short
    belief = prior.at(steps, [reading])
    low, high = belief.interval(QUANTILE)
    moved = 10**belief.mean / short.lr.require()
    plateau = short.plateau and (short.plateau[0] * moved, short.plateau[1] * moved)
    method = f"{short.lr.method}, weighed with the prior"
    return replace(short, lr=replace(short.lr, value=10**belief.mean, low=low, high=high, method=method), plateau=plateau)


@dataclass(frozen=True)
class Purchase:
    """A budget that would say more: gradient steps, full runs, and the share of the prior's doubt that they should leave."""

    steps: int
    full_runs: float
    left: float


@dataclass(frozen=True)
class Bought:
    """What a budget bought.

    Args:
        steps: gradient steps it allowed.
        lanes, lane_steps: that were trained.
        extrapolation: horizon / steps of a lane.
        prior: the rate that other tasks say.
        left: share of the prior's standard deviation that the lanes leave, 1 where they said nothing.
        stable: highest rate whose lane lowered its loss over all its steps; None if none did.
        next: the smallest budget that is expected to decide; None if there is none, or this one has.
    """

    steps: int
    lanes: int
    lane_steps: int
    extrapolation: float
    prior: Estimate
    left: float
    stable: float | None
    next: Purchase | None


@dataclass
class Budgeted:
    """A rung of short lanes around where the prior sees the best rate. A `Design`.

    Args:
        criterion: when a lane counts as having started to train.
        steps: the horizon T.
        policy: the schedule over T; lanes run it squeezed.
        prior: of the peak rate under that schedule.
        budget: gradient steps at most.
        seed: of the lanes, which share initial weights and data order.
        squeezes: whether short lanes run the whole of the schedule.
        rung: instead of the one the budget buys.

    Raises:
        ProblemError: the budget buys no lane.
    """

    criterion: Criterion
    steps: int
    prior: RatePrior
    budget: int
    policy: Policy = field(default_factory=Constant)
    seed: int = 0
    squeezes: bool = True
    rung: Rung | None = None

    def __post_init__(self) -> None:
        self._rung = self.rung or rung_of(self.budget, self.steps)
        here = self.prior.at(self._rung.steps).mean - GAMMA * math.log10(self.steps / self._rung.steps)
        share = self.budget / self.steps
        self._short = BestLR(
            self.criterion, self.steps, self.policy, 10**here, share, (self._rung,), self.seed, self.squeezes
        )
        self._outcomes: list[Outcome] = []

    def planned(self) -> Plan:
        """The rung, as far as the budget goes."""
        return self._short.planned()

    def ask(self) -> Sequence[Lane]:
        """Three rates, then one at a time."""
        return self._short.ask()

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        self._outcomes += outcomes
        self._short.tell(outcomes)

    def stop(self, flag: str) -> None:
        """End now, with what is known."""
        self._short.stop(flag)

    def answer(self) -> tuple[BestRate, Bought]:
        """The rate at the horizon, or no rate but the prior's; and what was bought."""
        short = self._short.answer()
        readings = self.readings(short)
        known = self.prior.at(self.steps)
        left = self.prior.at(self.steps, readings).sd / known.sd
        bought = Bought(
            steps=self.budget,
            lanes=len(self._outcomes),
            lane_steps=self._rung.steps,
            extrapolation=self.steps / self._rung.steps,
            prior=_estimate(known, 0, "the prior of other tasks"),
            left=left,
            stable=max((o.lane.lr for o in self._outcomes if _lowered(o)), default=None),
            next=self._next() if left > UNDECIDED else None,
        )
        lr = self._undecided(short, bought) if left > UNDECIDED else self._decided(short, readings)
        return BestRate(lr, None, short.reliability, short.rungs, short.scored_on, short.full_runs), bought

    def readings(self, short: BestRate) -> list[BestSeen]:
        """What the rung says; nothing where none of its lanes learned anything, or they are too few."""
        return [reading for rung in short.rungs if (reading := reading_of(rung))]

    def _decided(self, short: BestRate, readings: Sequence[BestSeen]) -> Estimate:
        belief = believed(self.prior, self.steps, readings)
        flags = tuple(flag for flag in short.lr.flags if flag not in ("prior-quality", "flat", "flat-when-short"))
        lanes, n = len(self._outcomes), self._rung.steps
        method = f"{lanes} lanes of {n} steps, weighed with the prior and moved to {self.steps} steps"
        return _estimate(belief, lanes, method, short.lr.cost, flags)

    def _undecided(self, short: BestRate, bought: Bought) -> Estimate:
        low, high = bought.prior.low, bought.prior.high
        reason = (
            f"{bought.lanes} lanes of {bought.lane_steps} steps say too little of {self.steps}; other tasks say "
            f"{bought.prior.require():.2g} [{low:.2g}, {high:.2g}]"
        )
        return Estimate.none(Status.PRIOR_ONLY, reason, low=low, high=high, n=bought.lanes, cost=short.lr.cost)

    def _next(self) -> Purchase | None:
        """The smallest doubling of the budget whose lanes, bracketed, would decide."""
        budget = max(self.budget, FEWEST * min(SHORTEST, self.steps))
        while (budget := 2 * budget) <= self.steps:
            rung = rung_of(budget, self.steps)
            left = self.prior.left(self.steps, rung.steps, ERROR)
            if left <= UNDECIDED:
                return Purchase(budget, budget / self.steps, left)
        return None


def _lowered(outcome: Outcome) -> bool:
    loss = outcome.scored_loss
    return loss is not None and loss < outcome.start_loss


def _estimate(belief: Belief, n: int, method: str, cost: int = 0, flags: tuple[str, ...] = ()) -> Estimate:
    low, high = belief.interval(QUANTILE)
    return Estimate(10**belief.mean, low, high, n=n, method=method, cost=cost, flags=flags)
