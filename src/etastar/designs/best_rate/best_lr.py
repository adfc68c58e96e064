"""The best learning rate for an optimizer, a schedule and a horizon, from short lanes that run the schedule squeezed.

A ladder of rungs: lanes of n < T steps climb to the best rate at n; the next rung starts there. The best rate falls with the
horizon, lr(T) = lr(n) (n / T)^gamma, and gamma differs from task to task: between 0, where stability decides, and 1, where
only lr x steps matters (a network that overfits, or follows the gradient flow). The interval says so. Lanes of the full
length remove that doubt, at full price.
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
from etastar.designs.best_rate.climb import PROGRESS, Climb
from etastar.policies.compose import has_horizon, squeezed
from etastar.policies.policy import Constant, Policy

GAMMA = 0.35
"""lr(T) = lr(n) (n / T)^gamma: the median over nine tasks of an earlier study, none of which is scored in the bake-off.
There 0.5 was as good within 0.05 nats and worse in accuracy, 0.65 worse in both."""
PAD_LOW, PAD_HIGH = 0.20, 0.25
"""Decades by which the interval reaches beyond gamma in [0, 1]: what noise and a coarse lattice do to the vertex. The middle
of the rates within 0.05 nats of the best lies inside in 86-97 % of the bake-off's cases."""
NO_VALIDATION_PAD = 0.5
"""Decades more on the low side where lanes are scored on their training loss: it does not see overfitting."""
SHORTEST = 20
"""Steps below which a lane says little."""
FLAT = 1.5
"""Width of the plateau in decades from which the rate hardly matters."""
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
    of the budget. Where only three or four lanes of the main rung fit after it, they stand further apart (and have 2/5 of
    the steps instead of half), so that they bracket the best: half a decade apart they did not in half of the bake-off's
    cases of 640 steps, and the interval missed more often.

    >>> [(r.steps, r.spacing, r.lanes) for r in rungs_for(640, 3.2)]
    [(20, 1.0, 6), (320, 0.5, 6)]
    """
    few = 0.6 < budget < 3 and steps >= 320
    share = 1 / 8 if budget <= 0.6 else 1 / 4 if budget <= 1 else 2 / 5 if few else 1 / 2
    shortest = max(min(SHORTEST, int(budget * steps / 3), steps), 1)  # three lanes at least, however short
    main = max(round(share * steps), shortest)
    scan = max(steps // 32, shortest)
    if budget >= 3 and steps < 320:
        return (Rung(max(steps // 4, shortest), 0.75, 4), Rung(main, 0.5, 5))
    if 4 * scan <= 0.25 * budget * steps:
        return (Rung(scan, 1.0, 6), Rung(main, 0.75 if few else 0.5, 6))
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
        self._flags: list[str] = []
        self._stopped, self._why_none = False, ""

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """All rungs, as far as the budget goes."""
        steps = min(round(self.budget * self.steps), sum(r.steps * r.lanes for r in self.rungs))
        return Plan(sum(r.lanes for r in self.rungs), steps)

    def ask(self) -> Sequence[Lane]:
        """The first three rates of a rung, then one at a time; empty when the last rung is done or the budget spent."""
        while not self._stopped and self._now is not None:
            rung, climb = self._now.rung, self._now.climb
            room = (round(self.budget * self.steps) - self._spent) // rung.steps
            self._asked = climb.ask()[: max(room, 0)]
            if self._asked:
                policy = squeezed(self.policy, rung.steps)
                seed = derive_seed(self.seed, "best", 0)
                rates = [quantise(10**x) for x in self._asked]
                return [Lane(lr, seed, rung.steps, self.criterion, Until.END, policy) for lr in rates]
            self._finish_rung()
        return []

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch."""
        assert self._now is not None
        for x, outcome in zip(self._asked, outcomes, strict=True):
            self._now.tell(x, outcome)
            self._spent += outcome.spent

    def shorten(self, longest: Callable[[int], int]) -> None:
        """See `Shortens`: a rung of which no lane has run takes what fits, where that is still much longer than the last."""
        assert self._now is not None
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
        self._now = _Ascent(rung, Climb(self._x - self._shift(rung), rung.spacing, rung.lanes))
        self._ascents.append(self._now)

    def _shift(self, rung: Rung) -> float:
        """log10(lr(T) / lr(n))."""
        return GAMMA * math.log10(rung.steps / self.steps)

    def _finish_rung(self) -> None:
        """On to the next rung, from where this one ended."""
        assert self._now is not None
        if self._now.told:
            self._x = self._now.climb.end + self._shift(self._now.rung)
        self._begin_rung()

    # -- the answer --------------------------------------------------------------------------------------------------

    def _estimate(self, climbed: Sequence[_Ascent], held_out: bool) -> tuple[Estimate, tuple[float, float] | None, Share]:
        told = sum(len(a.outcomes) for a in climbed)
        refusal = self._refusal(climbed)
        if refusal is not None:
            return Estimate.none(*refusal, n=told, cost=self._spent, flags=tuple(self._flags)), None, Share(0, told)
        last = [a for a in climbed if a.answers][-1]
        climb, rung = last.climb, last.rung
        vertex, shift, ratio = climb.vertex(), self._shift(rung), math.log10(rung.steps / self.steps)
        low, high = vertex + ratio - PAD_LOW - (0 if held_out else NO_VALIDATION_PAD), vertex + PAD_HIGH
        flags = [*self._flags]
        if not climb.bracketed:
            flags.append("not-bracketed")
            low, high = (low, high + climb.spacing) if climb.open_side > 0 else (low - climb.spacing, high)
        if not held_out:
            flags.append("scored-on-training-loss")
        if not self.squeezes:
            flags.append("schedule-not-squeezed")
        if rung.steps <= SHORTEST < self.steps or (self.steps <= 160 and rung.steps < self.steps / 4):
            flags.append("prior-quality")
        bar = plateau_bar(last.outcomes)
        plateau = None
        if bar is not None and climb.bracketed:
            left, right = climb.plateau(bar)
            plateau = 10 ** (min(left, vertex) + shift), 10 ** (max(right, vertex) + shift)
            if right - left >= FLAT:
                flags.append("flat" if rung.steps >= self.steps else "flat-when-short")
        shape = ", schedule squeezed" if self.squeezes else ""
        estimate = Estimate(
            value=10 ** (vertex + shift),
            low=10**low,
            high=10**high,
            n=told,
            method=f"{len(climb.scores)} lanes of {rung.steps} steps{shape}, moved to {self.steps} steps",
            cost=self._spent,
            flags=tuple(flags),
        )
        return estimate, plateau, trained_near(last.outcomes, vertex, rung.spacing)

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
