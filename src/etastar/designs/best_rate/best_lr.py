"""The best learning rate for an optimizer, a schedule and a horizon, from short lanes that run the schedule squeezed.

A ladder of rungs: lanes of n < T steps climb to the best rate at n; the next rung starts there. The best rate falls with the
horizon, lr(T) = lr(n) (n / T)^gamma, and gamma differs from task to task: between 0, where stability decides, and 1, where
only lr x steps matters (a network that overfits, or follows the gradient flow). The interval says so. What is left of the
budget buys a last look: one lane nearly as long as the horizon. Lanes of the full length remove the doubt, at full price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from etastar.core.design import TIME_LIMIT, Plan
from etastar.core.estimate import Estimate, Status
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until, quantise
from etastar.core.randomness import derive_seed
from etastar.designs.best_rate.best_rate import BestRate, Scale, Share, no_progress, plateau_bar, rung_result, trained_near
from etastar.designs.best_rate.carried import Carried, carried, shift
from etastar.designs.best_rate.climb import PROGRESS, Climb
from etastar.designs.best_rate.last_look import LONGEST_STRIDE, SHARE, LastLook
from etastar.policies.compose import has_horizon, squeezed
from etastar.policies.policy import Constant, Policy

SHORTEST = 20
"""Steps below which a lane says little."""
LONGER = 2
"""How many times longer than the rung before one must be that is shortened by a time limit; else it says nothing new."""
FAR = 8
"""Horizon / length of the last rung beyond which nothing is extrapolated."""


@dataclass(frozen=True)
class Rung:
    """Lanes of one length: steps, decades between neighbouring rates, lanes at most."""

    steps: int
    spacing: float
    lanes: int


def rungs_for(steps: int, budget: float) -> tuple[Rung, ...]:
    """The rungs that `budget` full runs of `steps` steps buy.

    The main rung has 1/8, 1/4 or 1/2 of the steps; a scan at decade steps goes first where it costs at most a quarter
    of the budget and leaves room for the last look. Where only three or four lanes of the main rung fit after it, they
    stand further apart (and have 2/5 of the steps instead of half), so that they bracket the best: half a decade apart they
    did not in half of the bake-off's cases of 640 steps, and the interval missed more often.

    >>> [(r.steps, r.spacing, r.lanes) for r in rungs_for(640, 3.2)]
    [(20, 1.0, 6), (320, 0.5, 6)]
    """
    few = 0.6 < budget < 3 and steps >= 320
    share = 1 / 8 if budget <= 0.6 else 1 / 4 if budget <= 1 else 2 / 5 if few else 1 / 2
    shortest = max(min(SHORTEST, int(budget * steps / 3), steps), 1)  # three lanes at least, however short
    main = max(round(share * steps), shortest)
    scan = max(steps // 32, shortest)
    if 4 * scan <= 0.25 * budget * steps:
        return (Rung(scan, 1.0, 6), Rung(main, 0.75 if few else 0.5, 6))
    if budget >= 3:
        return (Rung(max(steps // 4, shortest), 0.75, 4), Rung(main, 0.5, 5))
    return (Rung(main, 0.75, 5),)


@dataclass
class _Ascent:
    """A rung with its climb and its lanes: what belongs together is kept together."""

    rung: Rung
    climb: Climb
    told: dict[float, Outcome] = field(default_factory=dict)

    def tell(self, x: float, outcome: Outcome) -> None:
        """The lane at log10 rate `x`; all lanes stand on one scale."""
        self.told[x] = outcome
        scale = Scale.of(self.outcomes)
        for at, own in self.told.items():
            self.climb.tell(at, scale.score(own))

    @property
    def answers(self) -> bool:
        """Whether it carries a rate: it made progress; lanes of less than `SHORTEST` steps by their share of that."""
        return self.climb.learned and min(self.climb.scores.values()) <= PROGRESS * min(1, self.rung.steps / SHORTEST)

    @property
    def outcomes(self) -> list[Outcome]:
        """Its lanes, in the order asked for."""
        return list(self.told.values())


@dataclass
class BestLR:
    """Search for the best rate. A `Design`.

    Args:
        criterion: when a lane counts as having started to train (for the reliability).
        steps: the horizon T.
        policy: the schedule over T; each rung runs it squeezed.
        start: where the climb begins: a guess of the best rate at T.
        budget: gradient steps at most, in full runs.
        rungs: instead of those the budget buys.
        seed: of the lanes. Lanes of one rung share initial weights and data order.
        squeezes: whether short lanes run the whole of the schedule; a user's own loop may not.
    """

    criterion: Criterion
    steps: int
    policy: Policy = field(default_factory=Constant)
    start: float = 1e-2
    budget: float = 3.2
    rungs: tuple[Rung, ...] = ()
    seed: int = 0
    squeezes: bool = True

    def __post_init__(self) -> None:
        self.rungs = self.rungs or rungs_for(self.steps, self.budget)
        self._x = math.log10(self.start)
        self._spent = 0
        self._ascents: list[_Ascent] = []
        self._begin_rung()
        self._asked: list[float] = []
        self.squeezes = self.squeezes and has_horizon(self.policy)
        self._look: LastLook | None = None
        self._seen: Outcome | None = None
        self._flags: list[str] = []
        self._stopped, self._why_none = False, ""

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """All rungs and the last look, as far as the budget goes."""
        last = round(self.budget * self.steps) >= SHARE * self.steps and LONGEST_STRIDE * self.rungs[-1].steps >= self.steps
        steps = min(round(self.budget * self.steps), sum(r.steps * r.lanes for r in self.rungs) + last * self.steps)
        return Plan(sum(r.lanes for r in self.rungs) + last, steps)

    def ask(self) -> Sequence[Lane]:
        """The first three rates of a rung, then one at a time; the last look; empty when it is over or the budget spent."""
        while not self._stopped and self._now is not None:
            rung = self._now.rung
            self._asked = self._now.climb.ask()[: max(self._room // rung.steps, 0)]
            if self._asked:
                return [self._lane(x, rung.steps) for x in self._asked]
            self._finish_rung()
        if self._stopped or self._seen is not None:
            return []
        self._look = self._look or self._last_look()
        return [self._lane(self._look.x, min(self.steps, self._room))] if self._look else []

    @property
    def _room(self) -> int:
        return round(self.budget * self.steps) - self._spent

    def _lane(self, x: float, steps: int) -> Lane:
        seed, policy = derive_seed(self.seed, "best", 0), squeezed(self.policy, steps)
        return Lane(quantise(10**x), seed, steps, self.criterion, Until.END, policy)

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        if self._now is None:
            [self._seen] = outcomes
            self._spent += self._seen.spent
            return
        for x, outcome in zip(self._asked, outcomes, strict=True):
            self._now.tell(x, outcome)
            self._spent += outcome.spent

    def shorten(self, longest: Callable[[int], int]) -> None:
        """See `Shortens`: a rung of which no lane has run takes what fits, where that is still much longer than the last."""
        if self._now is None:  # the last look may be left out
            self._stopped = True
            return
        rung, before = self._now.rung, [a.rung.steps for a in self._ascents if a.told]
        least = LONGER * before[-1] if before else min(SHORTEST, rung.steps)
        steps = next((n for lanes in (rung.lanes, 3) if (n := min(longest(lanes), rung.steps)) >= least), 0)
        if self._now.told or not steps:
            self._why_none = f": there was no time for three lanes of {least} steps, {least / self.steps:.2g} of the horizon"
            self.stop(TIME_LIMIT)
            return
        self._flags = [*dict.fromkeys((*self._flags, TIME_LIMIT))]
        self._ascents.pop()
        self._begin(replace(rung, steps=steps))

    def stop(self, flag: str) -> None:
        """End now, with what is known."""
        if not self._stopped and self._now is not None:
            self._flags = [*dict.fromkeys((*self._flags, flag))]
        self._stopped = True

    def answer(self) -> BestRate:
        """The best rate at the horizon, as far as the rungs carry it."""
        climbed = [ascent for ascent in self._ascents if ascent.told]
        outcomes = [o for ascent in climbed for o in ascent.outcomes]
        held_out = any(o.valid_loss is not None for o in outcomes)
        estimate, plateau, reliability = self._estimate(climbed, held_out)
        return BestRate(
            lr=estimate,
            plateau=plateau,
            reliability=reliability,
            rungs=tuple(rung_result(a.rung.steps, a.climb, a.outcomes) for a in climbed),
            scored_on="validation loss" if held_out else "training loss",
            full_runs=self._spent / self.steps,
        )

    # -- rungs -------------------------------------------------------------------------------------------------------

    def _begin_rung(self) -> None:
        """The next rung, around where the last one ended; none after the last."""
        self._now = None
        if len(self._ascents) < len(self.rungs):
            self._begin(self.rungs[len(self._ascents)])

    def _begin(self, rung: Rung) -> None:
        self._now = _Ascent(rung, Climb(self._x - shift(rung.steps, self.steps), rung.spacing, rung.lanes))
        self._ascents.append(self._now)

    def _finish_rung(self) -> None:
        """On to the next rung, from where this one ended."""
        assert self._now is not None
        if self._now.told:
            self._x = self._now.climb.end + shift(self._now.rung.steps, self.steps)
        self._begin_rung()

    # -- the answer --------------------------------------------------------------------------------------------------

    def _estimate(self, climbed: Sequence[_Ascent], held_out: bool) -> tuple[Estimate, tuple[float, float] | None, Share]:
        told = sum(len(a.outcomes) for a in climbed)
        refusal = self._refusal(climbed)
        if refusal is not None:
            return Estimate.none(*refusal, n=told, cost=self._spent, flags=tuple(self._flags)), None, Share(0, told)
        last = [a for a in climbed if a.answers][-1]
        rung, found, flags = last.rung, self._found(last, held_out), [*self._flags]
        flags += found.flags
        if not held_out:
            flags.append("scored-on-training-loss")
        if not self.squeezes:
            flags.append("schedule-not-squeezed")
        if rung.steps <= SHORTEST < self.steps or (self.steps <= 160 and rung.steps < self.steps / 4):
            flags.append("prior-quality")
        shape = ", schedule squeezed" if self.squeezes else ""
        look = f"; one of {self._seen.lane.steps} at {self._seen.lane.lr:.2g}" if self._seen else ""
        estimate = Estimate(
            value=10**found.value,
            low=10**found.low,
            high=10**found.high,
            n=told,
            method=f"{len(last.climb.scores)} lanes of {rung.steps} steps{shape}, moved to {self.steps} steps{look}",
            cost=self._spent,
            flags=tuple(flags),
        )
        plateau = found.plateau and (10 ** found.plateau[0], 10 ** found.plateau[1])
        return estimate, plateau, trained_near(last.outcomes, found.vertex, rung.spacing)

    def _found(self, last: _Ascent, held_out: bool) -> Carried:
        """What a rung says of the horizon, given the last look where there was one."""
        found = carried(last.climb, last.outcomes, last.rung.steps, self.steps, held_out)
        if self._look is None or self._seen is None:
            return found
        score = Scale.of([*last.outcomes, self._seen]).score(self._seen)
        return self._look.read(found, score, self._seen.lane.steps, math.log10(last.rung.steps / self.steps))

    def _last_look(self) -> LastLook | None:
        """Where to look with what is left; nowhere if that is too short, or the rungs carry no rate.

        A training loss sees no memorising, and one lane's over its last batches is too noisy to tell of a second basin.
        """
        climbed = [a for a in self._ascents if a.told]
        if self._room < SHARE * self.steps or not climbed or not climbed[-1].answers:
            return None
        last, before = climbed[-1], climbed[-2] if len(climbed) > 1 else None
        bar = plateau_bar(last.outcomes)
        held_out = any(o.valid_loss is not None for o in last.outcomes)
        if (
            bar is None
            or not held_out
            or not last.rung.steps < SHARE * self.steps <= SHARE * LONGEST_STRIDE * last.rung.steps
        ):
            return None
        least = (min(before.climb.scores.values()), before.rung.steps) if before else (0.0, 1)
        found = carried(last.climb, last.outcomes, last.rung.steps, self.steps, held_out)
        return LastLook.over(last.climb, found, bar, last.rung.steps, least)

    def _refusal(self, climbed: Sequence[_Ascent]) -> tuple[Status, str] | None:
        """Why there is no answer."""
        if not climbed:
            return Status.TOO_FEW_POINTS, f"no lane was trained{self._why_none}"
        if not any(a.answers for a in climbed):
            return no_progress([o for a in climbed for o in a.outcomes])
        last = [a for a in climbed if a.answers][-1]
        if self.steps // last.rung.steps > FAR * 4:  # a scan has steps // 32
            return Status.TOO_FEW_POINTS, f"only lanes of {last.rung.steps} steps were run for {self.steps}"
        return None
